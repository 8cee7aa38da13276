"""The configuration: a TOML file to a checked `schema.Config`, or one line that says why it can't be.

Use `load.load(path)`; `schema` holds the types alone, which is all that most of the package imports.

- `toml` reads the file; `keys` and `nearest` name unknown keys; `limits`, `syntax` and `values` judge each value,
  `rules` several together.
- `profile` holds what laws and authorities ask for; `advice` is for `bwvd check`.
- `problem` is how all of them say what is wrong.
"""

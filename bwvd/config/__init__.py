"""How the text of a configuration file becomes a `bwvd.config.Config`, or one line that says why it can't."""

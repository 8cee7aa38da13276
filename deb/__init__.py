"""The Debian package: `.ci/deb ARCH` makes `bwvd_VERSION_ARCH.deb` of this tree.

- `build` lays out what is in the package and packs it; begin there.
- `manual` makes the manual pages of the command line and of the commented configuration.
- `control`, `postinst`, `prerm`, `postrm`, `rtupdate`, `copyright` and `lintian-overrides` are in it as they are.

One package serves every Debian release whose Python is in `build.PYTHONS`.
"""

"""The flash: files and folders whose durability is told, and nothing of what is in them.

`volume.Volume` is the contract, `posix.PosixVolume` the real one; `new_file` and `pieces` are how files are written and
read. `regular_file` opens what lies outside a volume, `whole_file` makes files there. Every promise about power cuts is
made in terms of `Volume`, so that the virtual volume of `bwvd.testing.flash` can stand in.
"""

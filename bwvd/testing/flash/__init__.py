"""The virtual flash: a verified fake of `bwvd.evidence.flash.volume`, with faults, latency and power cuts.

Begin with `storage.VirtualStorage`; `crash.crash_states` gives what a power cut may leave of what was done.
"""

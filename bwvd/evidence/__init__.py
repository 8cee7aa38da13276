"""Evidence: recordings on the flash, from the first byte that is written to the last that is handed out.

The daemon begins with `evidence_side.start_evidence`, which puts a storage in order and gives the journal, the reserve
and the gauge; `write.writer.Writer` records. People's tools begin with `verify.paths.verify_paths`, `export.catalogue`
and `export.mp4`. Rooms, lowest first: flash, keys, format; write, journal, verify; startup, release, export.
"""

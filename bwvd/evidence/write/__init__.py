"""Writing: from the recorder's GOPs to segments that survive a power cut.

`writer.Writer` is the actor; `recording_folder.RecordingFolder` holds every promise of durability about one recording.
`repair.Mending` brings to an end what storage errors left, `numbering` counts recordings, and
`finalize.finish_recording` makes the playlist and the checksums behind a recording's end.
"""

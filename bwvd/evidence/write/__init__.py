"""Writing: from the recorder's GOPs to segments that survive a power cut.

`writer.Writer` is the actor; `recording_folder.RecordingFolder` holds every promise of durability about one recording.
`repair.Mending` brings to an end what storage errors left, `numbering` counts recordings, `finishing` makes what is in
`finalize`, playlist and checksums, behind a recording's end when the writer has nothing else to do.
"""

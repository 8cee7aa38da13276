"""The recorder: one stream of GOPs in, recordings out. It decides; it never waits for the camera or the flash.

Start at `recorder.Recorder`, the actor: it takes media, commands and time, and moves the parts beside it.

- `loop` holds the last seconds in RAM; `gop_builder` joins video and audio to the GOPs that it holds.
- `state_machine` decides what an order does; `completion` when a stopping recording is complete.
- `in_progress` is the recording that runs; `backlog` the queue that it is handed to the writer through.
- `recent_gaps` remembers what capture named as missing; `ports` is what the recorder asks of others.
"""

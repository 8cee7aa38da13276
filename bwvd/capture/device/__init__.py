"""Devices: found, opened with libav, read on a thread of their own, and opened again when they are lost.

Start with `supervisor.CaptureDevices`; `libav_source.open_camera` and `open_microphone` make the sources that it runs.
The walk of a packet: `open_input`, `demux.Reading` (on the device's thread), a path of `capture.video` or
`capture.audio`, `device_thread.ThreadChannel.hop` to trio's thread, the supervisor, the recorder.
`discovery` lists what is plugged in, for `bwvd devices`.
"""

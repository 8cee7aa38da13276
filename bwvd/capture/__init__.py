"""Cameras and microphones: from a device's samples to batches on CLOCK_MONOTONIC.

Start with `source.MediaSource`, the contract that every source keeps, and with `device.supervisor.CaptureDevices`,
which keeps the sources of a configuration delivering. A source sends `SourceUp`, `Batch`, `MediaGap` and `FaultChanged`
(`bwvd.messages`); a batch of video is one closed GOP.

What all sources share lies here: addresses, timestamps, the builder of batches. `device` opens and reads, `video` and
`audio` are what becomes of the packets. To write a source of your own: `source`, `batch_builder`, `timestamps`, and
`bwvd.testing.conformance.source` to prove it.
"""

"""Audio paths: packets of a microphone in, AAC batches out, in step with the video and only while the gate is open.

Start with `transcode.EncodedAudio` (raw audio, encoded by us) or `passthrough.CopiedAudio` (AAC of a file or stream,
kept). `sample_clock.SampleClock` counts samples and follows the device's clock; `resample` stretches the audio by as
much; `drift_statistics` counts for the status what was put in and left out.
"""

"""Video paths: packets of a camera in, closed GOPs out, nothing lost that is not named.

Start with `transcode.EncodedVideo` (decoded, stamped, encoded by us) or `passthrough.CopiedVideo` (the camera's own
H.264 or HEVC, kept). Behind the first: `encoder_failover.FailoverEncoder`, which changes encoders while a recording
runs; `libav_encoder.VideoEncoder`, one of libav's; `encoder_load.Pace`, what gives way when it is too slow.
`frame_loss.Losses` names what is missing, for both.
"""

"""Programs as cameras: a child process that writes video, ended with the daemon, and its frames with their times.

Start with `exec_input.open_program`, for any program that writes to its stdout. `child` runs the process, `annexb`
finds the frames in raw H.264 and `arrival_beat` gives them times where the format has none. `rpicam_input.open_rpicam`
is a ribbon camera: `rpicam_times` puts its frames and their times together. What comes of either is a
`capture.input.Input`, which `capture.device` reads.
"""

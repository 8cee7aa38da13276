"""What the daemon costs, side by side with the `ffmpeg` command that does the same work: `python -m tests.bench`."""

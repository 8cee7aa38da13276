"""Hours of the real daemon at work, with everything that goes wrong in hours: `python -m tests.soak --hours N`."""

"""Fuzzing of everything that reads what others have written: `python -m tests.fuzz TARGET --seconds N`."""

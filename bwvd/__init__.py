"""bwvd: a body-worn video daemon."""

__version__ = "0.1.0"

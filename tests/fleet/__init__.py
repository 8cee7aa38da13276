"""A fleet at shift change: how fast custodians take over what many cameras bring at once."""

"""Start-up: what a storage must be before it is written to, and what is put in order before a recording may begin.

`admission.open_storage` checks and locks a storage; `recovery.recover` brings every recording to its end, and
`recovery.recover_one` a single one while the daemon runs; `look.Look` looks behind the start at what an earlier one has
seen whole; `serials` gives the next number, and `officer` keeps the officer's id over restarts.
"""

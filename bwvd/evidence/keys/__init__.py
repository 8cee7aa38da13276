"""Keys: signing, verifying and encrypting in the formats of ssh-keygen and age. Knows no recording.

`sshsig.KeySigner` signs and `sshsig.Signature` verifies; `allowed_signers.AllowedSigners` says whose signature counts;
`age.load_recipients` gives what encrypts, and `age.open_sealed` opens. `ssh_keys` and `ssh_wire` are the formats
below.
"""

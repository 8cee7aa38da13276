"""Release: the only code that deletes evidence, against a signed receipt (invariant 8).

`issue` signs receipts, at the desk; `receipt` judges one, on the camera. `release.Release` takes a recording away, and
`archive.ArchiveRelease` an archive of the journal, both step by step as `handing_in` says; what a power cut interrupted
`finish_releases` and `finish_archive_release` go on with.
"""

"""Verification: whether evidence is what was signed, by whom, and where it is not. Needs neither trio nor the log.

`paths.verify_paths` takes whatever a person points at: `storage`, `recording`, `proof`. A `report.Report` has the
verdict and the findings; `trust.Trust` judges keys, `files.Contents` files.
"""

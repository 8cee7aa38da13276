"""Release: the only code that deletes evidence, against a signed receipt (invariant 8).

`receipt.accept_receipt` judges a receipt; `release.Release` takes its recording away step by step, and
`release.finish_releases` goes on with what a power cut interrupted.
"""

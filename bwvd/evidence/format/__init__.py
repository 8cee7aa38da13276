"""Format: what a recording and the journal look like on the flash. FORMAT.md describes it for strangers.

`layout` has every name, `records` every kind of line, `chain.Chain` signs lines. `decode` reads a line without
cryptography; `chain_reader.ChainReader` judges every signature of a file, and `chain_tail.read_ending` finds its end
quickly. Folds over records are `totals` and `media_index`.
"""

"""Cards in the wrong hands: an insider's changes with a start of the device behind them, and honest power cuts beside.

`python -m tests.tampering` is the campaign; `test_tampering.py` a short part of it, in the plain suite.
"""

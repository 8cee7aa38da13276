"""Custody: takes recordings over from a store, verifies them as `verify` does, and signs receipts for what is good.

`custodian.Custodian` is the daemon's loop; `device.DeviceRound` is what it does for one device: the journal first
(`journals`), then each recording (`judge`), then its receipt (`receipts`). What it did stands in its signed log in the
store (`log`), what it knows in an index (`index`) that can be made anew from the store (`reindex`). Verification is
blocking and reads folders: `bridge` lets it read objects. It needs no identity, and deletes or overwrites nothing.
"""

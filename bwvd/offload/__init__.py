"""The carrier: takes what is closed on the flash to a store, and receipts from there to the recorder.

A process and a unit of its own (`bwvd offload`), the only one on the camera that may use the network. It reads the
flash and writes nothing there; it has no key of the device's, and it deletes nothing: what has a receipt, the recorder
lets go of (invariants 8 and 16). Begin with `carrier.Carrier`, one round of the work, and `process`, what runs it.
"""

"""The desk: the page on which people find, see, verify and hand out evidence, each with a trace.

`app.application` is the page, `desk.Desk` what it shows: the recordings of its `sources` (a folder, a proof, a store, a
custodian's index). `guard` lets in who has the address's token, and nobody from elsewhere; `trail` is the signed log
into which every look is entered before it is given. It reads, and decrypts in memory alone.
"""

"""Buckets of S3 stores, over HTTP/1.1 on trio. Needs the extra `s3` (h11).

`store.S3Store` is what `bwvd.store.open` gives; `sigv4` signs requests, `credentials` reads the keys for it, `http`
carries them, and `answers` reads what a store says, which is foreign and may be hostile.
"""

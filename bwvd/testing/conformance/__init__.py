"""Conformance suites: what a contract promises, as checks that run against a real adapter and a virtual one alike.

Each module has a `Subject` (how to reach what is tested, and how to disturb it) and CHECKS to run on one each:
`source`, `storage`, `jobs`, `contact`, `line`, `receiver`, `clock`, `supply`, `store`, `lamp`. `bwvd.testing` shows how
to use one.
"""

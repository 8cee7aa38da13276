"""Names on the flash that more than one part of bwvd must agree on."""

from __future__ import annotations

RECORDINGS = "recordings"
MANIFEST = "manifest.jsonl"

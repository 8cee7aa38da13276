"""What others have written is in the package as they gave it, with its licence."""

from __future__ import annotations

import hashlib
import re
from importlib import resources


def test_the_player_library_is_the_one_that_npm_gives() -> None:
    vendor = resources.files("bwvd.desk") / "static" / "vendor"
    said = (vendor / "README").read_text()
    [(digest, name)] = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", said, re.MULTILINE)
    assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert "Apache License, Version 2.0" in (vendor / "hls.LICENSE").read_text()
    assert {path.name for path in vendor.iterdir()} == {"README", "hls.LICENSE", name}

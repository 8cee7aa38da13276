"""Mutants of time-stamps: whose tokens count, what they vouch for, what the recorder lets in (6, 7, 8, 13)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STAMPING = (
    Mutant(
        "take a time-stamp that is the answer to another request",
        7,
        "evidence/keys/rfc3161.py",
        "    if nonce is not None and info.nonce != nonce:\n",
        "    if nonce is not None and info.nonce is None:\n",
        ("evidence/keys/test_rfc3161.py",),
    ),
    Mutant(
        "take a time-stamp by a certificate for something else",
        7,
        "evidence/keys/rfc3161.py",
        "    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:\n",
        "    if not usage.critical:\n",
        ("evidence/keys/test_rfc3161.py",),
    ),
    Mutant(
        "take a list of digests under another's name",
        7,
        "evidence/verify/existence.py",
        "            if list_name(text) != name:\n",
        "            if not text:\n",
        ("evidence/verify/test_existence.py",),
    ),
    Mutant(
        "believe a time-stamp from the future",
        7,
        "evidence/verify/existence.py",
        "    if token.at.timestamp() > now_s + AHEAD_S:\n",
        "    if token.at.timestamp() < 0:\n",
        ("evidence/verify/test_existence.py",),
    ),
    Mutant(
        "hold no journal against its time-stamp",
        13,
        "evidence/verify/existence.py",
        "    if sha512.hexdigest() != head.sha512:\n",
        "    if not sha512.digest():\n",
        ("evidence/verify/test_existence.py",),
    ),
    Mutant(
        "replace a time-stamp by what comes later under its name",
        8,
        "evidence/write/token_files.py",
        "    new = {name: content for name, content in files.items() if name not in sizes}\n",
        "    new = files\n",
        ("evidence/write/test_token_files.py",),
    ),
    Mutant(
        "take whatever time an authority says",
        7,
        "offload/authority.py",
        "        if abs(off_s) > MOST_OFF_S:\n",
        "        if off_s != off_s:\n",
        ("offload/test_authority.py",),
    ),
    Mutant(
        "say nothing of an authority that gives no token",
        7,
        "offload/stamping.py",
        "        one.trouble = trouble\n",
        "",
        ("offload/test_stamping.py",),
    ),
)

"""Signers of receipts and statements: people and servers, whom a list names for just that. Never a device.

A line counts if its namespaces name the one in question, not by a pattern; and no key counts that any of the lists has
for what devices sign: so a fleet's list lets no camera acknowledge its own recordings, nor speak for a person.
"""

from __future__ import annotations

from collections.abc import Sequence

from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.keys.allowed_signers import AllowedKey, AllowedSigners
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import NAMESPACES
from bwvd.text import one_line

DEVICE_NAMESPACES = tuple(NAMESPACES.split(","))


def check_named_signer(
    key: PublicKey | Certificate,
    namespace: str,
    name: str,
    signers: Sequence[AllowedSigners],
    at_s: float,
    *,
    device: AllowedSigners | None = None,
) -> str:
    """The fingerprint of what vouches for `key` in `namespace` under `name`: its own, or its authority's.

    Args:
        signers: the lists that count; one of them is enough to allow, any of them to forbid.
        at_s: Unix seconds at which the key must be valid.
        device: a device's own key, or the authority that certified it, which forbids as a list does.

    Pure. Raises: SignatureBad, saying what no line allows.
    """
    vouching = vouching_key(key)
    reasons = []
    for allowed in signers:
        try:
            allowed.check(key, namespace, (name,), at_s, by_name=True)
        except SignatureBad as error:
            reasons.append(str(error))
        else:
            if (line := device_lines(signers, device).get(vouching.blob)) is not None:
                reasons.append(f"{vouching.fingerprint} is {a_devices(line)}")
                continue
            return vouching.fingerprint
    raise SignatureBad(one_line("; ".join(reasons) or "no list of signers"))


def device_lines(signers: Sequence[AllowedSigners], device: AllowedSigners | None = None) -> dict[bytes, AllowedKey]:
    """The keys that are listed for what devices sign, each with a line that says so."""
    lists = [*signers, *([device] if device is not None else [])]
    lines = (line for allowed in lists for line in allowed.lines())
    return {line.key.blob: line for line in lines if any(line.allows(namespace) for namespace in DEVICE_NAMESPACES)}


def a_devices(line: AllowedKey) -> str:
    """What is said of a key that stands on such a line."""
    return f"listed for what devices sign ({line.file} line {line.line})"


def vouching_key(key: PublicKey | Certificate) -> PublicKey:
    """The key that a list must have: this one, or the authority that certified it."""
    return key.authority if isinstance(key, Certificate) else key

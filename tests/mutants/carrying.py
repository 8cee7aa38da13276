"""Mutants of the carrier: what it sends, what it takes for sent, what it lets the recorder do (8, 10, 11, 13, 16)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CARRYING = (
    Mutant(
        "carry a recording whose signature is still being written",
        8,
        "offload/parts.py",
        ' or not is_whole(flash.read(f"{folder}/{SUMS_SIGNATURE}", 0, SIGNATURE_BYTES)):',
        ":",
        ("offload/test_carrier.py",),
    ),
    Mutant(
        "send the last files of a recording with the others",
        8,
        "offload/carrier.py",
        "        together = iter(parts[:-ONE_AFTER_THE_OTHER])",
        "        together = iter(parts[::-1])",
        ("offload/test_carrier.py",),
    ),
    Mutant(
        "take another object of that name for the same",
        16,
        "offload/carrier.py",
        "        _require_same(found, part)\n",
        "",
        ("offload/test_carrier.py",),
    ),
    Mutant(
        "take a refusal of the recorder for a release",
        16,
        "offload/collector.py",
        '        if not answer.get("ok"):',
        '        if not answer.get("ok", True) and "gone" in answer:',
        ("offload/test_carrier.py",),
    ),
    Mutant(
        "tell a store of the journal before the flash has it",
        13,
        "offload/parts.py",
        "    flash.settle(JOURNAL)\n",
        "",
        ("offload/test_carrier.py",),
    ),
    Mutant(
        "work on battery",
        10,
        "offload/power_gate.py",
        "            for scope in self._scopes:\n                scope.cancel()\n",
        "",
        ("offload/test_power_gate.py",),
    ),
    Mutant(
        "send at full speed beside a recording",
        10,
        "offload/pace.py",
        "            self._places.total_tokens = 1\n",
        "",
        ("offload/test_beside_a_recording.py",),
    ),
    Mutant(
        "take any head for one that the device has signed",
        16,
        "custody/forged.py",
        "return hashlib.sha512(data).hexdigest() == head.sha512 and self._signed(data, head.number, whole=True)",
        "return True",
        ("custody/test_forged_heads.py",),
    ),
    Mutant(
        "let the carrier give orders",
        11,
        "daemon/control_actors.py",
        "paced(without(carrier, allowing(allow, daemon.post, refused), refused)",
        "paced(allowing(allow, daemon.post, refused)",
        ("daemon/test_socket_requests.py",),
    ),
)

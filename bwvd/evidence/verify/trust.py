"""Trust in the keys that signed a recording: who vouches for each."""

from __future__ import annotations

from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, SUMS_NAMESPACE
from bwvd.evidence.format.chain_reader import Signed
from bwvd.evidence.keys.allowed_signers import DEFAULT_PRINCIPAL, AllowedSigners
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.verify.report import Report, Signatory


class Trust:
    """Collects the keys of one file's signatures, then judges them.

    Args:
        signers: whose keys count, by whoever verifies; None = nobody's. What lies beside the recordings can be
            exchanged with them, and vouches for nothing.
        namespace: what the file's lines are signed as.
    """

    def __init__(
        self,
        signers: AllowedSigners | None,
        namespace: str = MANIFEST_NAMESPACE,
    ) -> None:
        self._signers = signers
        self._namespace = namespace
        self._principals: tuple[str, ...] = (DEFAULT_PRINCIPAL,)
        self._claimed = ""  # the key that `open` names
        self._at_s: float | None = None
        self._keys: dict[bytes, tuple[PublicKey | Certificate, str]] = {}  # each with where it signed first

    def claimed(self, device: str, signer: str, at_s: float | None) -> None:
        """What the evidence says of itself: its device, its key, and its time (Unix seconds; None = not known)."""
        self._principals = (device, DEFAULT_PRINCIPAL) if device else (DEFAULT_PRINCIPAL,)
        self._claimed = signer
        self._at_s = at_s

    def at(self, at_s: float | None) -> None:
        """When it was signed, where that is said later than by whom."""
        self._at_s = at_s

    def saw(self, signed: Signed, where: str) -> None:
        """One signature that holds."""
        self._keys.setdefault(signed.key.blob, (signed.key, where))

    def also(self, key: PublicKey | Certificate, where: str, report: Report) -> None:
        """SHA256SUMS is signed: by a key of the manifest, or by one that may sign it."""
        if key.blob in self._keys:
            return
        if self._signers is None:
            report.altered(where, f"signed by {_plain(key).fingerprint}, which signed nothing else here")
            return
        try:
            self._signers.check(key, SUMS_NAMESPACE, self._principals, self._at_s)
        except SignatureBad as error:
            report.altered(where, str(error))

    def judge(self, report: Report) -> Signatory | None:
        """Find out whether every key may sign; what may not is a finding. Returns whose recording it is.

        Everything by one key that nobody vouches for is what its owner has signed, whoever that is: unvouched. A key
        that nobody vouches for behind another one is somebody's who has added to it: altered.
        """
        signatory: Signatory | None = None
        for index, (key, where) in enumerate(self._keys.values()):
            plain = _plain(key)
            if index == 0 and self._claimed and plain.line != self._claimed:
                report.altered(where, f"names another key than the one that signed it ({plain.fingerprint})")
            name, reason = self._vouched(key)
            if index == 0:
                signatory = signatory_of(key, name)
                if not name:
                    by = signatory.signed_by
                    report.unvouched(where, f"signed by the key {by}, for which nobody vouches{reason}")
            elif not name:
                report.altered(where, f"signed by another key ({plain.fingerprint}), which nobody vouches for{reason}")
        return signatory

    def _vouched(self, key: PublicKey | Certificate) -> tuple[str, str]:
        """The name under which the list knows a key, or "" and why it does not."""
        if self._signers is None:
            return "", ""
        try:
            return self._signers.check(key, self._namespace, self._principals, self._at_s), ""
        except SignatureBad as error:
            vouching = key.authority if isinstance(key, Certificate) else key
            return "", f" ({str(error).removeprefix(vouching.fingerprint).lstrip(': ')})"


def signatory_of(key: PublicKey | Certificate, name: str = "") -> Signatory:
    """Whose signature one by `key` is. name: under which a list knows it; "" = nobody vouches for it."""
    if isinstance(key, Certificate):
        return Signatory(key.authority.fingerprint, key.key.line, name, certified=key.key.fingerprint)
    return Signatory(key.fingerprint, key.line, name)


def _plain(key: PublicKey | Certificate) -> PublicKey:
    return key.key if isinstance(key, Certificate) else key

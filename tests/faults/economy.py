"""What makes thousands of shifts affordable: pure work that comes again byte for byte is done once.

Up to its fault every shift is the same, so the same groups of pictures are muxed, the same digests signed and the same
signatures checked. Muxing, signing and checking are functions of their arguments alone; what they gave is kept under
the whole of their arguments, so that anything that differs is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import structlog

from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import KeySigner, Signature
from bwvd.evidence.write import recording_folder as recording
from bwvd.media.fragment import Epoch
from bwvd.media.samples import Gop, Track
from tests.support.rig import KEY

KEPT: Final = 40_000  # results of each kind; then it begins anew


class _Memory:
    """Results by the arguments that they depend on."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= KEPT:
                self._known.clear()
            made = self._known[key] = make()
            return made


_fragments, _epochs, _signatures, _checks = _Memory(), _Memory(), _Memory(), _Memory()


class ThriftyEpoch:
    """`bwvd.media.fragment.Epoch`, which muxes what it has not muxed before."""

    def __init__(self, video: Track, audio: Track | None) -> None:
        self.video = video
        self.audio = audio
        self.tracks = (video,) if audio is None else (video, audio)
        self._real: Epoch = _epochs.get(tuple(track.init for track in self.tracks), lambda: Epoch(video, audio))
        self.init = self._real.init
        self.silence = self._real.silence

    def fits(self, gop: Gop) -> bool:
        return (gop.video is None or _same(self.video, gop.video.track)) and (
            gop.audio is None or (self.audio is not None and _same(self.audio, gop.audio.track))
        )

    def fragment(self, gop: Gop, number: int, origin_ns: int, silent: tuple[int, ...]) -> bytes:
        media = tuple((batch.samples, bytes(batch.data)) for batch in gop.batches)
        made = _fragments.get(
            (self.init, gop.video is None, number, origin_ns, media, silent),
            lambda: self._real.fragment(gop, number, origin_ns, silent),
        )
        assert isinstance(made, bytes)
        return made

    def close(self) -> None:
        """The muxer's templates are kept for the next shift."""


def _same(a: Track, b: Track) -> bool:
    return a is b or a.init == b.init


class ThriftySigner:
    """`bwvd.evidence.format.chain.Signer`: real Ed25519, whose signatures are the same each time."""

    def __init__(self, real: KeySigner = KEY) -> None:
        self._real = real
        self.public_key = real.public_key

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        made = _signatures.get((self.public_key, sha512, namespace), lambda: self._real.sign(sha512, namespace))
        assert isinstance(made, bytes)
        return made

    def allowed_signers(self, principal: str) -> str:
        return self._real.allowed_signers(principal)


_verify = Signature.verify


def _verify_once(signature: Signature, sha512: bytes, namespace: str) -> PublicKey | Certificate:
    """Only what holds is remembered: a signature that does not is judged each time."""
    line = signature.key.line
    key = (line, signature.namespace, signature.value, sha512, namespace)
    found: PublicKey | Certificate = _checks.get(key, lambda: _verify(signature, sha512, namespace))
    return found


@contextmanager
def economy() -> Iterator[None]:
    """Inside, equal work is done once, and nothing is logged."""
    quiet = structlog.make_filtering_bound_logger(50)
    before = structlog.get_config()
    structlog.configure(wrapper_class=quiet)
    try:
        with (
            mock.patch.object(recording, "Epoch", ThriftyEpoch),
            mock.patch.object(Signature, "verify", _verify_once),
        ):
            yield
    finally:
        structlog.configure(**before)

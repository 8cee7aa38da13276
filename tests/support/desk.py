"""A desk that has the devices' list: bwvd's own verification and exports, with the tests' own keys vouched for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bwvd.evidence.export import contact_sheet, mp4, proof
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify import paths, recording, storage
from bwvd.evidence.verify import proof as verify_of_proof
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import KEY

_LINES = fixed_signer().allowed_signers("*") + KEY.allowed_signers("*")
SIGNERS = AllowedSigners.parse(_LINES.encode(), "the desk's list")

Given = ParamSpec("Given")
Made = TypeVar("Made")


def _at_the_desk(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """The same function; where no `signers` are given, the desk's count. None stands for nobody, as ever."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        if "signers" not in signature.bind(*args, **kwargs).arguments:
            kwargs["signers"] = SIGNERS
        return function(*args, **kwargs)

    return called


verify_recording = _at_the_desk(recording.verify_recording)
verify_storage = _at_the_desk(storage.verify_storage)
verify_proof = _at_the_desk(verify_of_proof.verify_proof)
verify_paths = _at_the_desk(paths.verify_paths)
export_mp4 = _at_the_desk(mp4.export_mp4)
export_sheet = _at_the_desk(contact_sheet.export_sheet)
export_proof = _at_the_desk(proof.export_proof)

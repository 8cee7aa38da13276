"""Whose signatures count for `bwvd verify` and `bwvd export`: a list that is given, or this machine's own."""

from __future__ import annotations

import os
from pathlib import Path

from bwvd.cli.options import DEFAULT_CONFIG, load_config
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.own_key import own_key

SYSTEM_LIST = Path("/etc/bwvd/allowed_signers")


def vouching(config_path: str, given: str | None) -> AllowedSigners | None:
    """The keys that count; None if nobody vouches for any.

    A list that is given counts alone. Without one the default lists count, and on the device (a configuration is given,
    or the default one can be read) its signing key. What lies beside the recordings never does.

    Raises: SignersUnusable for a list that is there and can't be used; Failure for such a configuration.
    """
    known = listed(given)
    if given:
        return known
    lists = [known] if known is not None else []
    if config_path != DEFAULT_CONFIG or os.access(DEFAULT_CONFIG, os.R_OK):
        config = load_config(config_path)
        if (own := own_key(config.keys.signing, config.device.id)) is not None:
            lists.append(own)
    return AllowedSigners.joined(lists) if lists else None


def listed(given: str | None) -> AllowedSigners | None:
    """The keys of the list that is given, or of the default lists; None if there is none.

    Raises: SignersUnusable for a list that is there and can't be used.
    """
    if given:
        return AllowedSigners.load(given)
    lists = [AllowedSigners.load(path) for path in default_lists() if os.path.lexists(path)]
    return AllowedSigners.joined(lists) if lists else None


def default_lists() -> list[Path]:
    """Where a person's and the machine's list lie: `$XDG_CONFIG_HOME/bwvd/allowed_signers`, then /etc's."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(configured if Path(configured).is_absolute() else os.path.expanduser("~/.config"))  # noqa: PTH111  raises nothing where there is no home
    return [*([home / "bwvd" / "allowed_signers"] if home.is_absolute() else []), SYSTEM_LIST]

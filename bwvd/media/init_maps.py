"""Init segments that stand for those of earlier epochs, for players. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bwvd.media.boxes import BoxUnusable
from bwvd.media.fragment_reader import TrackHead, read_init


def maps(inits: Sequence[bytes]) -> list[int]:
    """The epoch whose init segment is named for the segments of each epoch; both count from 1.

    That of the next one where that has the same tracks and more: an audio track whose form nobody knew before it came.
    Players set up what they play by the first init segment, and most take no track that begins later.
    """
    heads = [_heads(init) for init in inits]
    found = list(range(1, len(inits) + 1))
    for index in reversed(range(len(inits) - 1)):
        before, behind = heads[index], heads[index + 1]
        if before and len(before) < len(behind) and all(head in behind for head in before):
            found[index] = found[index + 1]
    return found


def _heads(init: bytes) -> list[TrackHead]:
    """Its tracks; none where it can't be read."""
    try:
        return read_init(init)
    except BoxUnusable:
        return []

"""What a store's refusal means, as the contract's errors. Pure."""

from __future__ import annotations

import datetime

from bwvd.store.errors import (
    BodyDiffers,
    ClockSkewed,
    LockMissing,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
)
from bwvd.store.s3.answers import Refusal
from bwvd.text import counted

# Try again, by the status alone or by the code: the store is busy, or somebody puts the same name at this moment.
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_BUSY_CODES = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "SlowDown"})

_FULL = frozenset({"QuotaExceeded", "ServiceQuotaExceeded", "InsufficientStorage", "XMinioStorageFull"})
_DAMAGED = frozenset({"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"})
_NO_LOCK = frozenset({"InvalidRequest", "ObjectLockConfigurationNotFoundError", "InvalidBucketState", "NotImplemented"})
# The key is not, or no longer, one that counts: there may be another where it was read.
_KEY = frozenset(
    {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_REFUSED = {
    "AccessDenied": "these credentials may not do that",
    "AllAccessDisabled": "the account is switched off",
    "AccountProblem": "there is a problem with the account",
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
    "ExpiredToken": "the temporary key is no longer valid",
    "InvalidToken": "the temporary key is not valid",
    "NoSuchBucket": "there is no such bucket",
    "PermanentRedirect": "the bucket is in another region",
    "AuthorizationHeaderMalformed": "the bucket is in another region",
    "IllegalLocationConstraintException": "the bucket is in another region",
}


def is_busy(said: Refusal) -> bool:
    """True if the same request makes sense again at once."""
    return said.status in _BUSY or said.code in _BUSY_CODES


def is_about_key(said: Refusal) -> bool:
    """True if the same request may be taken with another key."""
    return said.code in _KEY


def error_of(said: Refusal, where: str, now: datetime.datetime) -> StoreError:
    """The contract's error for an answer that is about the store as a whole. `where` names bucket and server."""
    told = f"HTTP {said.status}" + (f" {said.code}" if said.code else "")
    if said.code == "RequestTimeTooSkewed":
        return ClockSkewed(f"{where}: refuses what is signed with this clock{_skew(said, now)}")
    if said.code in _FULL or said.status == 507:
        return StoreFull(f"{where}: no room ({told})")
    if is_busy(said):
        return StoreUnreachable(f"{where}: can't answer now ({told})")
    meaning = _REFUSED.get(said.code)
    if meaning is None and said.status in (401, 403):
        meaning = "these credentials may not do that"
    return StoreRefused(f"{where}: {meaning} ({told})" if meaning else f"{where}: refuses ({told})")


def put_error(said: Refusal, name: str, where: str, now: datetime.datetime, *, lock: bool) -> StoreError:
    """The contract's error for a put that was refused; `lock`: a retention was asked for."""
    if said.code in _DAMAGED:
        return BodyDiffers(name, f"{name}: what came is not what was announced, says {where} ({said.code})")
    if lock and said.code in _NO_LOCK:
        text = f"{where}: locks nothing, and offload.retain_days asks for it (HTTP {said.status} {said.code})"
        return LockMissing(name, text, stored=False)
    return error_of(said, where, now)


def _skew(said: Refusal, now: datetime.datetime) -> str:
    """By how much, if the answer tells the time."""
    if said.server_time is None:
        return ", which is too far off"
    off = now - said.server_time
    minutes = counted(round(abs(off).total_seconds() / 60), "minute")
    return f", which is {minutes} {'ahead' if off > datetime.timedelta() else 'behind'}"

"""What `bwvd check` says of the store that recordings are carried to."""

from __future__ import annotations

from collections.abc import Iterator

from bwvd.cli.finding import Finding
from bwvd.config.schema import Config

ANSWER_S = 10.0  # a store that takes longer is one that can't be reached now


def offload_findings(config: Config, *, probe: bool) -> Iterator[Finding]:
    """Whether the store can be opened and, with `probe`, what it says of itself. Blocking; nothing where it is off.

    A store that does not answer is no reason not to start: a camera records without it.
    """
    offload = config.offload
    if not offload.store:
        return
    if offload.release and not config.keys.release:
        yield Finding("offload", True, "keys.release: no key may sign receipts, so the card fills", advice=True)
    if not probe:
        yield Finding("offload", True, f"offload.store: {offload.store}")
        return
    import trio

    from bwvd.store.errors import AddressWrong, StoreError
    from bwvd.store.open import BucketAccess, open_store
    from bwvd.store.ports import Lock, StoreFacts

    async def asked() -> StoreFacts:
        access = BucketAccess(offload.endpoint, offload.region, offload.credentials)
        store = await trio.to_thread.run_sync(open_store, offload.store, access, abandon_on_cancel=True)
        try:
            return await store.facts()
        finally:
            await store.aclose()

    async def asked_in_time() -> StoreFacts:
        with trio.fail_after(ANSWER_S):
            return await asked()

    try:
        facts = trio.run(asked_in_time)
    except AddressWrong as error:
        yield Finding("offload", False, f"offload: {error}")
    except (StoreError, trio.TooSlowError) as error:
        said = str(error) or f"no answer within {ANSWER_S:g} s"
        yield Finding("offload", True, f"offload.store: {offload.store}: not now: {said}", advice=True)
    else:
        yield Finding("offload", True, f"offload.store: {facts.address}, {facts.detail or 'answers'}")
        if facts.lock is Lock.NONE and offload.store.startswith("s3:"):
            yield Finding("offload", True, f"offload.store: {facts.address} locks nothing", advice=True)

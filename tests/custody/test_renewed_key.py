"""A custodian at a bucket whose temporary key ends, as those of a role do each hour."""

from __future__ import annotations

from pathlib import Path

from bwvd.store.open import BucketAccess, open_store
from tests.support import s3_server
from tests.support.custody_store import Camera, carry, custody
from tests.support.s3_server import TEMPORARY, write_credentials


async def test_a_custodian_goes_on_with_the_key_that_stands_there_now(tmp_path: Path) -> None:
    """Invariant 16: what comes after the key's end gets its receipt from the same process, and nothing failed."""
    camera = Camera(tmp_path / "card")
    path = tmp_path / "credentials"
    write_credentials(path, TEMPORARY)
    async with s3_server.serving() as server:
        server.key = TEMPORARY
        store = open_store("s3://evidence", BucketAccess(server.endpoint, s3_server.REGION, str(path)))
        async with custody(store, tmp_path / "index") as working:
            camera.record()
            await carry(store, camera)
            assert (await working.once()).received == 1
            server.expired.add(TEMPORARY.id)
            done = await working.once()
            assert "the temporary key is no longer valid" in done.failed[""]
            server.key = s3_server.KEY
            write_credentials(path, s3_server.KEY)
            camera.record()
            await carry(store, camera)
            done = await working.once()
            assert (done.received, done.failed) == (1, {})
        await store.aclose()

"""A carrier whose temporary key ends while it works, and another stands in the file by then."""

from __future__ import annotations

from pathlib import Path

from bwvd.offload.book import Standing
from bwvd.store import names
from bwvd.store.open import BucketAccess, open_store
from tests.support import s3_server
from tests.support.carried import DEVICE, Camera, carrier_of
from tests.support.s3_server import TEMPORARY, Asked, S3Server, write_credentials


class _Ends(list[Asked]):
    """What a server was asked; behind so many requests a key ends, and the file has another."""

    def __init__(self, server: S3Server, path: Path, after: int) -> None:
        super().__init__()
        self._server, self._path, self._after = server, path, after

    def append(self, asked: Asked) -> None:
        super().append(asked)
        if len(self) == self._after:
            self._server.expired.add(TEMPORARY.id)
            self._server.key = s3_server.KEY
            write_credentials(self._path, s3_server.KEY)


async def test_a_round_goes_on_with_the_key_that_stands_there_now(tmp_path: Path) -> None:
    """Invariant 8: a recording whose upload a key's end falls into is stored in the same round, each file once."""
    camera = Camera()
    recording = camera.record(1, segments=4)
    path = tmp_path / "credentials"
    for after in (1, 4, 8):
        write_credentials(path, TEMPORARY)
        async with s3_server.serving() as server:
            server.key, server.asked = TEMPORARY, _Ends(server, path, after)
            store = open_store("s3://evidence", BucketAccess(server.endpoint, s3_server.REGION, str(path)))
            carrier = carrier_of(camera)
            await carrier.round(store)
            await store.aclose()
            assert carrier.book.rows[recording].standing is Standing.STORED
            assert carrier.faults.active == {}
            assert carrier.sent.objects == len(server.objects)
            folder = names.recording_folder(DEVICE, recording)
            stored = {name.removeprefix(folder): one.content for name, one in server.objects.items()}
            assert camera.files(recording).items() <= stored.items()

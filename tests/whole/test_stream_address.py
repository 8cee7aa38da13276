"""The address of a camera in the network, as far as it holds a secret, is stored and shown nowhere."""

from __future__ import annotations

import json
from functools import partial

import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.clock import SystemClock
from tests.support.rig import Rig, configuration
from tests.support.rtsp_camera import RtspCamera

SECRET = "s3cretOfACamera"  # noqa: S105 - made up


async def test_no_secret_of_an_address_is_stored_or_shown() -> None:
    """Neither in what is on the flash, nor in the status: while the camera delivers, and when it is gone."""
    network = RtspCamera(rate=50, gop_frames=10)
    async with trio.open_nursery() as nursery:
        url = await nursery.start(network.run)
        source = f"{url.replace('//', f'//admin:{SECRET}@')}/user={SECRET}?password={SECRET}"
        video: dict[str, object] = {"source": source, "encoder": "copy"}
        config = configuration(video=video, loop={"seconds": 5}, recording={"post_roll_s": 0})
        clock = SystemClock()
        rig = Rig(config=config, clock=clock, open_camera=partial(open_camera, config, clock))
        async with rig.running() as daemon:
            shown = [json.dumps(daemon.status())]
            with trio.fail_after(20):
                await daemon.camera_up.wait()
                await rig.press()
                await rig.wait_for(lambda: daemon.written().committed_s > 0)
                shown.append(json.dumps(daemon.status()))
                network.hang_up()
                await rig.wait_for(lambda: "camera" in daemon.hub.faults)
                shown += [json.dumps(daemon.status()), json.dumps(list(map(repr, rig.events)))]
                await rig.stop()
                await rig.closed()
        nursery.cancel_scope.cancel()
    (recording,) = rig.recordings()
    assert f"{url.rpartition('/')[0]}/live/***?***" in json.dumps(list(map(repr, rig.manifest(recording))))
    volume = rig.volume
    stored = {path: volume.read(path) for path in ("journal.jsonl", f"recordings/{recording}/manifest.jsonl")}
    assert all(b"rtsp://" in data for data in stored.values())
    assert not [path for path, data in stored.items() if SECRET.encode() in data]
    assert not [text for text in shown if SECRET in text]

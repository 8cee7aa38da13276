"""Who wears the device: kept over restarts, private wherever recordings are."""

from __future__ import annotations

import pyrage
import trio
import trio.testing

from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer, open_sealed
from bwvd.evidence.startup.officer import load_officer, save_officer
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import KEY, Rig, configuration

OFFICER = "PC 1234 Example"


def _rig(volume: VirtualVolume, sealer: AgeSealer | None) -> Rig:
    rig = Rig(config=configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}), volume=volume, sealer=sealer)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    return rig


async def test_the_wearer_is_kept_and_sealed(autojump_clock: trio.testing.MockClock) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealer = AgeSealer([str(identity.to_public())])
    volume = VirtualVolume()
    rig = _rig(volume, sealer)
    async with rig.running():
        await trio.sleep(4)
        await rig.order(Order.ASSIGN, text=OFFICER)
        await rig.order(Order.MARK, text="not recording")
        await trio.sleep(1)
    rig = _rig(volume, sealer)
    async with rig.running() as daemon:
        assert daemon.recorder.officer == OFFICER
        await trio.sleep(4)
        await rig.press()
        await rig.order(Order.MARK, text="the man in the red coat")
        await trio.sleep(2)
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    (officer,) = [record for record in manifest if isinstance(record, records.Officer)]
    (mark,) = [record for record in manifest if isinstance(record, records.Mark)]
    assert officer.sealed
    assert mark.sealed
    for sealed, text in ((officer.sealed, OFFICER), (mark.sealed, "the man in the red coat")):
        plain = open_sealed(volume.read(f"recordings/{recording}/{sealed.file}"), [identity])
        assert text.encode() in plain
    everything = b"".join(content for content in volume.tree().values() if content)
    assert OFFICER.encode() not in everything
    assert b"red coat" not in everything


async def test_nobody_is_kept_as_well(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    rig = _rig(volume, None)
    async with rig.running():
        await rig.order(Order.ASSIGN, text=OFFICER)
        await trio.sleep(1)
        await rig.order(Order.ASSIGN, text="")
        await trio.sleep(1)
    rig = _rig(volume, None)
    async with rig.running() as daemon:
        assert daemon.recorder.officer == ""


def test_another_key_or_a_damaged_file_is_nobody() -> None:
    volume = VirtualVolume()
    save_officer(volume, KEY, OFFICER)
    assert load_officer(volume, KEY) == OFFICER
    data = volume.read(".wearer")
    volume.remove(".wearer")
    file = volume.create(".wearer")
    file.write(data[:-1] + bytes([data[-1] ^ 1]))
    file.close()
    assert load_officer(volume, KEY) == ""

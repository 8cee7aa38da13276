"""A round of the carrier: what goes to the store, in which order, and what does not."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from bwvd.offload.book import Standing
from bwvd.store import names
from bwvd.store.errors import StoreError
from bwvd.store.ports import Lock
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.store import FAULTS, Fault, Held, VirtualStore
from tests.support.carried import (
    DEVICE,
    Camera,
    WatchedStore,
    archive_receipt_text,
    carrier_of,
    give_receipts,
    receipt_text,
    wrong_with,
)
from tests.support.evidence_keys import fixed_signer
from tests.support.storage_recording import new_volume


def in_folder(store: VirtualStore, recording: str) -> dict[str, bytes]:
    folder = names.recording_folder(DEVICE, recording)
    return {name.removeprefix(folder): held.content for name, held in store.objects.items() if name.startswith(folder)}


async def test_names_and_bytes_are_those_of_the_flash(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    recordings = [camera.record(serial) for serial in (1, 2)]
    await carrier_of(camera).round(store)
    for recording in recordings:
        assert in_folder(store, recording) == camera.files(recording)


async def test_the_signature_of_the_sums_comes_last_and_the_journal_first(autojump_clock: MockClock) -> None:
    """Whoever sees the signature sees a whole recording, and has the journal that it began with."""
    camera, store = Camera(), WatchedStore()
    recording = camera.record(1, segments=4)
    folder = names.recording_folder(DEVICE, recording)

    def look(name: str) -> None:
        if name == f"{folder}SHA256SUMS.sig":
            assert set(in_folder(store, recording)) == set(camera.files(recording)) - {"SHA256SUMS.sig"}
            seen.append(name)

    seen: list[str] = []
    store.before_put = look
    await carrier_of(camera).round(store)
    assert seen
    order = list(store.objects)
    assert isinstance(names.parsed(order[0]), names.JournalHead)
    assert [name.removeprefix(folder) for name in order[-3:]] == ["manifest.jsonl", "SHA256SUMS", "SHA256SUMS.sig"]


async def test_a_recording_in_progress_is_not_sent(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    camera.record(1, close=False)
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert not any(isinstance(names.parsed(name), names.RecordingFile) for name in store.objects)
    assert carrier.book.rows == {}


async def test_a_signature_that_is_not_whole_yet_is_none(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    recording = camera.record(1)
    path = f"recordings/{recording}/SHA256SUMS.sig"
    whole = camera.volume.read(path)
    camera.volume.remove(path)
    file = camera.volume.create(path)
    file.write(whole[:100])
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert in_folder(store, recording) == {}
    file.write(whole[100:])
    file.close()
    await carrier.round(store)
    assert in_folder(store, recording) == camera.files(recording)


async def test_another_device_s_recordings_are_left_alone(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    recording = camera.record(1)
    camera.volume.rename(f"recordings/{recording}", f"recordings/{recording.replace('BWV-0001', 'BWV-0002')}")
    await carrier_of(camera).round(store)
    assert [name for name in store.objects if "recordings" in name] == []


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.HALF, Fault.LOST_ANSWER])
@pytest.mark.parametrize("nth", range(1, 16))
async def test_what_is_stored_is_not_sent_again(autojump_clock: MockClock, nth: int, fault: Fault) -> None:
    """A cut at any call: the next process goes on behind what is there."""
    camera, store = Camera(), WatchedStore()
    recording = camera.record(1, segments=6)
    for later in range(nth, 100):
        store.strike(later, fault)
    with contextlib.suppress(StoreError):
        await carrier_of(camera).round(store)
    store.mend()
    await carrier_of(camera).round(store)
    assert in_folder(store, recording) == camera.files(recording)
    assert store.again == []


async def test_a_stored_recording_costs_one_question_after_a_start(autojump_clock: MockClock) -> None:
    camera, store = Camera(), WatchedStore()
    camera.record(1)
    await carrier_of(camera).round(store)
    store.calls.clear()
    carrier = carrier_of(camera)
    await carrier.round(store)
    asked = [call for call in store.calls if "/recordings/" in call.name]
    assert [(call.kind, call.name.rpartition("/")[2]) for call in asked] == [("page", ""), ("head", "SHA256SUMS.sig")]
    assert carrier.sent.objects == 0
    assert carrier.book.all_stored()


# --- the journal -----------------------------------------------------------------------------------------------------


async def test_archives_go_once_and_each_new_head_once(autojump_clock: MockClock) -> None:
    """Outside of the camera the journal's head is a witness that whoever holds the card can't change."""
    camera, store = Camera(), WatchedStore()
    while not any(name.startswith("journal-") for name in camera.volume.names("")):
        camera.enter("fault", what="x" * 2000)
    carrier = carrier_of(camera)
    await carrier.round(store)
    (archive,) = [name for name in store.objects if isinstance(names.parsed(name), names.JournalArchive)]
    assert store.objects[archive].content == camera.volume.read("journal-000001.jsonl")
    camera.enter("boot")
    await trio.sleep(301)
    await carrier.round(store)
    heads = [found for name in store.objects if isinstance(found := names.parsed(name), names.JournalHead)]
    assert len(heads) == 2
    assert store.again == []
    durable = camera.journal.head()
    assert durable is not None
    assert (heads[-1].number, heads[-1].size, heads[-1].sha512) == (2, durable.bytes, durable.sha512)


async def test_a_head_that_did_not_change_is_not_sent_again(autojump_clock: MockClock) -> None:
    camera, store = Camera(), WatchedStore()
    carrier = carrier_of(camera)
    for _ in range(3):
        await carrier.round(store)
        await trio.sleep(301)
    assert len(store.objects) == 1
    assert store.again == []


async def test_the_head_ends_with_a_whole_signature(autojump_clock: MockClock) -> None:
    """A line that the recorder is just writing is none yet."""
    camera, store = Camera(), VirtualStore()
    durable = camera.journal.head()
    assert durable is not None
    file = camera.volume.append("journal.jsonl")
    file.write(b'{"type":"entry","n":99,"event":"boot"}\n{"sig":"U1NIU0lH')
    await carrier_of(camera).round(store)
    (head,) = [found for name in store.objects if isinstance(found := names.parsed(name), names.JournalHead)]
    assert (head.size, head.sha512) == (durable.bytes, durable.sha512)


async def test_what_a_store_knows_of_the_journal_a_power_cut_does_not_take_back(autojump_clock: MockClock) -> None:
    """Invariant 13: a head in the store that the flash had not yet would be told as a card that was put back."""
    camera, store = Camera(new_volume(trace=True)), VirtualStore()
    camera.journal.close()
    before = camera.volume.read("journal.jsonl")
    file = camera.volume.append("journal.jsonl")
    file.write(before[before.rfind(b'{"sig"') :])  # anything that ends like an entry, not synced by who wrote it
    await carrier_of(camera).round(store)
    (head,) = [found for name in store.objects if isinstance(found := names.parsed(name), names.JournalHead)]
    assert head.size > len(before)
    for state in crash_states(camera.volume.moments[-1:]):
        assert len(state.tree["journal.jsonl"] or b"") >= head.size


# --- what is wrong with one recording --------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["000001.m4s", "000002.m4s", "manifest.jsonl", "SHA256SUMS", "SHA256SUMS.sig"])
async def test_an_object_with_other_bytes_is_named_and_not_touched(autojump_clock: MockClock, file: str) -> None:
    """Invariant 16: also where a recording was begun before, and the store is asked instead of sent to."""
    camera, store = Camera(), VirtualStore()
    first, second = camera.record(1), camera.record(2)
    taken = names.recording_file(DEVICE, first, file)
    store.objects[taken] = Held(b"somebody else's")
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert store.objects[taken].content == b"somebody else's"
    assert carrier.book.rows[first].standing is Standing.DIFFERS
    assert taken in carrier.faults.active["offload:differs"][0]
    assert carrier.book.rows[second].standing is Standing.STORED
    assert (file == "SHA256SUMS.sig") is ("SHA256SUMS.sig" in in_folder(store, first))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("remove", "names 000002.m4s, which is not there"),
        ("alter", "000002.m4s is not what SHA256SUMS says"),
        ("name", "a store has no name for"),
        ("sums", "line 1 is not a checksum and a name"),
    ],
)
async def test_a_recording_that_is_not_what_its_sums_say_is_not_carried(
    autojump_clock: MockClock, change: str, said: str
) -> None:
    """Not one object gets wrong bytes, and no signature of the sums vouches for a part."""
    camera, store = Camera(), VirtualStore()
    recording, other = camera.record(1), camera.record(2)
    folder = f"recordings/{recording}"
    content = camera.files(recording)

    def write(name: str, data: bytes) -> None:
        if name in content:
            camera.volume.remove(f"{folder}/{name}")
        file = camera.volume.create(f"{folder}/{name}")
        file.write(data)
        file.close()

    match change:
        case "remove":
            camera.volume.remove(f"{folder}/000002.m4s")
        case "alter":
            write("000002.m4s", content["000002.m4s"][:-1] + b"?")
        case "name":
            write("SHA256SUMS", content["SHA256SUMS"] + b"0" * 64 + b"  \x1b[2J\xff.m4s\n")
            write("\x1b[2J\udcff.m4s", b"")
        case "sums":
            write("SHA256SUMS", b"nonsense\n")
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert carrier.book.rows[recording].standing is Standing.UNFIT
    assert said in carrier.faults.active["offload:unfit"][0]
    assert carrier.faults.active["offload:unfit"][0].isprintable()
    assert "SHA256SUMS.sig" not in in_folder(store, recording)
    assert not wrong_with(store, other)
    for name, stored in in_folder(store, recording).items():
        assert stored == content[name]


async def test_a_flash_that_can_t_be_read_is_a_fault_and_tried_again(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    recording = camera.record(1)
    carrier = carrier_of(camera)
    camera.volume.fail(errno.EIO, kind="read", path="000002.m4s", times=10)
    await carrier.round(store)
    assert "000002.m4s" in carrier.faults.active["offload:flash"][0]
    camera.volume.heal()
    await trio.sleep(61)
    await carrier.round(store)
    assert carrier.faults.active == {}
    assert in_folder(store, recording) == camera.files(recording)


# --- faults of the store ---------------------------------------------------------------------------------------------


async def calls_of_a_round() -> int:
    camera, store = Camera(), WatchedStore()
    camera.record(1)
    await carrier_of(camera).round(store)
    give_receipts(store)
    await trio.sleep(11)
    await carrier_of(camera).round(store)
    return len(store.calls)


@pytest.mark.parametrize("retain_days", [0, 30])
@pytest.mark.parametrize("fault", sorted({fault for faults in FAULTS.values() for fault in faults}, key=str))
async def test_every_fault_of_the_store_at_every_call(
    autojump_clock: MockClock, fault: Fault, retain_days: int
) -> None:
    """Invariants 8 and 16: nothing is let go of without a receipt, nothing wrong is stored, nothing is lost."""
    for nth in range(1, await calls_of_a_round() + 1):
        camera, store = Camera(), VirtualStore()
        recording = camera.record(1)
        content = camera.files(recording)
        store.strike(nth, fault)
        carrier, receipts = carrier_of(camera, retain_days=retain_days), list[str]()
        for _ in range(40):
            with contextlib.suppress(StoreError):
                await carrier.round(store)
            assert camera.released == [] or receipts, f"{fault} at {nth}: released without a receipt"
            receipts += give_receipts(store)
            await trio.sleep(400)
            if not camera.recordings():
                break
        else:
            if fault is Fault.WRONG:  # a receipt that was damaged on its way is refused, and asked for hours later
                await trio.sleep(30_000)
                await carrier.round(store)
        assert in_folder(store, recording) == content, f"{fault} at {nth}"
        assert receipts == [recording]
        assert camera.released == [recording], f"{fault} at {nth}"
        store.mend()
        await carrier.round(store)
        unlocked = {"offload:lock"} if fault is Fault.LOCK_NOT_KEPT else set()
        assert carrier.faults.active.keys() <= unlocked, f"{fault} at {nth}"


async def test_wrong_credentials_end_the_round_with_one_line(autojump_clock: MockClock) -> None:
    camera, store = Camera(), WatchedStore()
    camera.record(1)
    store.every(Fault.REFUSED)
    with pytest.raises(StoreError, match=r"^the virtual store does not know the access key$"):
        await carrier_of(camera).round(store)


async def test_credentials_that_may_only_put_are_enough_to_send(autojump_clock: MockClock) -> None:
    camera = Camera()

    store = VirtualStore()
    for kind in ("head", "get", "page"):
        store.every(Fault.REFUSED, kind)
    recording = camera.record(1)
    for _ in range(2):
        carrier = carrier_of(camera)
        await carrier.round(store)
        assert carrier.book.all_stored()
    assert in_folder(store, recording) == camera.files(recording)


async def test_credentials_that_may_list_nothing_are_told_no_where_nothing_is(autojump_clock: MockClock) -> None:
    """As AWS does: 403, and not 404, for an object that is not there. That is no fault, and nothing is sent twice."""
    camera, store = Camera(), WatchedStore()
    recording = camera.record(1, segments=8)
    for kind in ("head", "get", "page"):
        store.every(Fault.REFUSED, kind, lambda name: name not in store.objects)
    store.latency_s = 1
    with trio.move_on_after(8.5):
        await carrier_of(camera).round(store)
    begun = len(in_folder(store, recording))
    assert 2 < begun < 10
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert in_folder(store, recording) == camera.files(recording)
    assert [name.rpartition("/")[2] for name in store.again] == []
    assert carrier.faults.active == {}
    give_receipts(store)
    await trio.sleep(11)
    await carrier.round(store)
    assert camera.released == [recording]


async def test_a_bucket_that_locks_nothing_refuses_a_retention(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore(lock=Lock.NONE)
    camera.record(1)
    with pytest.raises(StoreError, match="locks nothing"):
        await carrier_of(camera, retain_days=30).round(store)
    assert store.objects == {}


async def test_a_round_does_not_take_back_what_is_told_of_the_bucket(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    camera.record(1)
    carrier = carrier_of(camera)
    carrier.faults.report("offload:lock", True, "s3://evidence locks nothing")
    await carrier.round(store)
    assert "offload:lock" in carrier.faults.active


async def test_a_retention_is_asked_for_each_object(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    camera.record(1)
    await carrier_of(camera, retain_days=30).round(store)
    now = camera.clock.read().utc_ns / 1e9
    for held in store.objects.values():
        assert held.retain_until is not None
        assert 29.9 < (held.retain_until.timestamp() - now) / 86_400 < 30.1


# --- receipts --------------------------------------------------------------------------------------------------------


async def carried(camera: Camera, store: VirtualStore) -> str:
    recording = camera.record(1)
    await carrier_of(camera).round(store)
    return recording


async def test_a_receipt_lets_the_recorder_release(autojump_clock: MockClock) -> None:
    """Invariant 16: it is the receipt that deletes, and the recorder that does it."""
    camera, store = Camera(), VirtualStore()
    recording = await carried(camera, store)
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert camera.recordings() == [recording]
    give_receipts(store)
    await trio.sleep(11)
    await carrier.round(store)
    assert camera.recordings() == []
    assert carrier.book.released == 1
    await carrier.round(store)
    assert carrier.book.rows == {}


@pytest.mark.parametrize(
    ("receipt", "said"),
    [
        (lambda _: receipt_text("20261122T071505Z-BWV-0001-000099", b""), "the receipt is for 20261122"),
        (lambda recording: receipt_text(recording, b"another manifest"), "the receipt is for another manifest"),
        (lambda recording: receipt_text(recording, b"", fixed_signer(9)), "may not sign receipts"),
        (lambda recording: receipt_text(recording, b"", device="BWV-0002"), "for device 'BWV-0002'"),
        (lambda _: b"<html>\x1b[2J</html>", "the receipt is not signed"),
        (lambda _: b"\xff\xfe", "is not text"),
        (lambda _: b"x" * 20_000, "is larger than 16384 bytes"),
    ],
)
async def test_a_receipt_that_is_none_is_named_and_the_next_recording_goes_on(
    autojump_clock: MockClock, receipt: Callable[[str], bytes], said: str
) -> None:
    """Invariant 8."""
    camera, store = Camera(), VirtualStore()
    first = await carried(camera, store)
    second = camera.record(2)
    store.objects[names.receipt(DEVICE, first)] = Held(receipt(first))
    carrier = carrier_of(camera)
    await carrier.round(store)
    give_receipts(store)
    await trio.sleep(11)
    await carrier.round(store)
    assert camera.recordings() == [first]
    assert camera.released == [second]
    assert said in carrier.faults.active["offload:receipt"][0]
    assert carrier.faults.active["offload:receipt"][0].isprintable()


async def test_a_refused_receipt_is_not_handed_in_again_and_again(autojump_clock: MockClock) -> None:
    """Each refusal is a line in the journal."""
    camera, store = Camera(), VirtualStore()
    recording = await carried(camera, store)
    store.objects[names.receipt(DEVICE, recording)] = Held(receipt_text(recording, b"another manifest"))
    carrier = carrier_of(camera)
    for _ in range(360):
        await carrier.round(store)
        await trio.sleep(10)
    assert len(camera.answers) <= 4


async def test_archives_of_the_journal_are_let_go_of_as_well_the_oldest_first(autojump_clock: MockClock) -> None:
    """Invariant 8: by receipts of their own, and never while a recording is here that they tell of."""
    camera, store = Camera(), VirtualStore()
    recording = camera.record(1)
    while len([name for name in camera.volume.names("") if name.startswith("journal-")]) < 2:
        camera.enter("fault", what="x" * 2000)
    carrier = carrier_of(camera)
    await carrier.round(store)
    for name in list(store.objects):
        if isinstance(found := names.parsed(name), names.JournalArchive):
            receipt = names.archive_receipt(DEVICE, found.storage, found.archive)
            store.objects[receipt] = Held(archive_receipt_text(found.archive, store.objects[name].content))
    await trio.sleep(30)
    await carrier.round(store)
    assert camera.released == []
    assert "is still here" in carrier.faults.active["offload:receipt"][0]
    give_receipts(store)
    for _ in range(20):
        await trio.sleep(600)
        await carrier.round(store)
    assert camera.released == [recording, "journal-000001.jsonl", "journal-000002.jsonl"]
    assert not any(name.startswith("journal-") for name in camera.volume.names(""))
    assert carrier.faults.active == {}


async def test_without_release_receipts_are_only_told(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    recording = await carried(camera, store)
    give_receipts(store)
    carrier = carrier_of(camera, release=False)
    await carrier.round(store)
    assert camera.answers == []
    assert carrier.book.rows[recording].standing is Standing.RECEIPT


async def test_a_recorder_that_can_t_be_asked_is_a_fault_and_sending_goes_on(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    first = await carried(camera, store)
    give_receipts(store)
    camera.down = True
    second = camera.record(2)
    carrier = carrier_of(camera)
    await carrier.round(store)
    assert "nobody answers" in carrier.faults.active["offload:recorder"][0]
    assert in_folder(store, second) == camera.files(second)
    camera.down = False
    await trio.sleep(11)
    await carrier.round(store)
    assert camera.released == [first]
    assert carrier.faults.active == {}


async def test_receipts_are_asked_for_less_and_less_often(autojump_clock: MockClock) -> None:
    camera, store = Camera(), WatchedStore()
    camera.record(1)
    carrier = carrier_of(camera)
    for _ in range(8_640):
        await carrier.round(store)
        await trio.sleep(10)
    asked = [call for call in store.calls if call.kind == "get"]
    assert 100 < len(asked) < 200


# --- the pace --------------------------------------------------------------------------------------------------------


async def test_the_pace_is_kept(autojump_clock: MockClock) -> None:
    camera, store = Camera(), VirtualStore()
    camera.record(1, segments=20)
    began = trio.current_time()
    carrier = carrier_of(camera, max_mbit=0.1)
    await carrier.round(store)
    took = trio.current_time() - began
    assert carrier.sent.bytes * 8 / took / 1e6 == pytest.approx(0.1, rel=0.1)

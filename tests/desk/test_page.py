"""The page of one recording in a browser: what is shown is what the timeline says. `pytest -m browser`"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pyrage
import pytest

pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from bwvd.desk.static_files import address
from bwvd.desk.timeline import signed_lines, timeline
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.moment import clock_text
from bwvd.evidence.keys.age import AgeSealer
from bwvd.testing.picture import frame_number
from tests.desk.chromium import Visit, browser, served
from tests.evidence.export.test_track import walked
from tests.players.scenarios import OLD, RATE, Recording, recorded
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

pytestmark = pytest.mark.browser

INSTANTS = (0.0, 0.31, 1.0, 1.999, 2.42, 3.333, 4.02, 7.51, 8.3, 9.2)  # seconds; the camera is away from 4.45 to 7.4
Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def gap(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Numbered frames; the camera is away for three seconds, the microphone is not."""
    return recorded("camera gap", tmp_path_factory.mktemp("gap"))


@pytest.fixture(scope="module")
def mutes(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recorded("two mutes", tmp_path_factory.mktemp("mutes"))


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a desk on a folder, and a browser at it. Nothing may be asked for elsewhere, nothing complained of."""
    with contextlib.ExitStack() as stack:
        visits: list[Visit] = []

        def open_(*paths: Path, options: tuple[str, ...] = (), **settings: Any) -> Visit:
            address = stack.enter_context(served(*paths, options=options, home=tmp_path / "home"))
            context = chromium.new_context(
                viewport={"width": 1440, "height": 900},
                locale="en-GB",
                reduced_motion="reduce",
                **settings,
            )
            stack.callback(context.close)
            visits.append(Visit(context, address))
            return visits[-1]

        yield open_
        for visit in visits:
            assert visit.elsewhere == []
            assert visit.complaints == []


def shot(visit: Visit, name: str) -> None:
    """A screenshot, to be looked at."""
    if folder := os.environ.get("BWVD_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        visit.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def folder_of(recording: Recording) -> Path:
    return recording.playlist.path.parent


@pytest.mark.short
def test_the_frame_is_the_one_that_the_timeline_names(opened: Open, gap: Recording) -> None:
    """Invariants 4 and 9: at ten instants, on both sides of a gap, in whatever order they are gone to."""
    visit = opened(folder_of(gap))
    visit.recording()
    truth = gap.playlist.truth
    apart = []
    for at in (*INSTANTS[::2], *INSTANTS[1::2]):
        visit.seek(at)
        number = visit.number()
        assert number is not None, at
        apart.append(number - truth.frame_at(at))
        assert visit.seconds() == pytest.approx(at, abs=1e-3)
    assert apart == [0] * len(INSTANTS)
    shot(visit, "recording")


def test_it_plays_from_the_first_frame_on(opened: Open, gap: Recording) -> None:
    """Invariant 3: what was kept from before the press comes first, and is called so."""
    visit = opened(folder_of(gap))
    page = visit.recording()
    expect(page.locator("#badges")).to_contain_text("before the press")
    expect(page.locator("#from-press")).to_have_text(re.compile("^\u221200:02.400"))
    assert visit.number() == gap.playlist.truth.frame_at(0)
    page.click("#toggle")
    page.wait_for_function("() => window.desk.player.us > 2.6e6")
    page.click("#toggle")
    visit.settle()
    number = visit.number()
    assert number is not None
    assert abs(number - gap.playlist.truth.frame_at(visit.seconds())) <= 1
    expect(page.locator("#badges")).not_to_contain_text("before the press")


@pytest.mark.short
def test_the_first_frame_waits_for_nothing_that_it_does_not_need(opened: Open, gap: Recording) -> None:
    """No request is made twice, none for what the browser has, and the verdict is asked for behind the frame."""
    visit = opened(folder_of(gap))
    page = visit.recording()
    path = re.sub(r"^https?://[^/]+", "", page.url)
    page.goto(f"{visit.origin}/")
    asked: list[str] = []
    page.on("request", lambda one: asked.append(re.sub(r"^https?://[^/]+", "", one.url)))
    page.evaluate("() => { window.desk = null; }")
    page.click(f"main a[href='{path}']")
    page.wait_for_function("() => window.desk?.player.shown_us !== null && window.desk !== undefined")
    page.wait_for_function("() => document.querySelector('#chain li:not(.open)')")
    own = [one.removeprefix(path) for one in asked if one.startswith(path)]
    first = own[: own.index("/verdict.json")]
    assert first[:4] == ["", "/timeline.json", "/init-1.mp4", "/seg/1.m4s"]
    assert [one for one in own if own.count(one) > 1 and "verdict" not in one] == []
    assert "/playlist.m3u8" not in own
    served_by_desk = page.evaluate(
        "() => performance.getEntriesByType('resource').filter((one) => one.transferSize > 0).map((one) => one.name)"
    )
    assert [one for one in served_by_desk if "/static/" in one] == []


def test_what_can_not_be_read_has_its_verdict(opened: Open, tmp_path: Path) -> None:
    """Invariant 7: the page of a folder without a manifest does not wait for ever."""
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage)
    (folder / MANIFEST).unlink()
    visit = opened(storage)
    visit.page.goto(f"{visit.origin}/")
    path = visit.page.locator("main a[href^='/r/']").first.get_attribute("href")
    visit.page.goto(f"{visit.origin}{path}")
    expect(visit.page.locator("#card")).to_contain_text("can't be read")
    visit.page.wait_for_function("() => document.getElementById('verdict').dataset.verdict")
    assert visit.page.locator("#verdict").get_attribute("data-verdict") not in ("authentic", "recovered", "excerpt")
    expect(visit.page.locator("#chain li.broken, #chain li.open").first).to_be_visible()
    visit.complaints.clear()  # the browser tells that the timeline is not there


def test_a_card_that_was_pulled_out_is_said_and_plays_again_when_it_is_back(opened: Open, tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "card")
    make_recording(storage, seconds=40)
    visit = opened(storage)
    page = visit.recording()
    storage.rename(tmp_path / "pulled")
    page.evaluate("() => window.desk.player.seek(35e6)")
    page.wait_for_function("() => window.desk.player.broken")
    expect(page.locator("#card")).to_be_visible()
    assert page.locator("#stage").get_attribute("data-covered") == "network"
    (tmp_path / "pulled").rename(storage)
    page.evaluate("() => window.desk.player.seek(20.05e6)")
    page.wait_for_function("() => !window.desk.player.broken && document.querySelector('video').readyState >= 2")
    page.wait_for_function("() => Math.abs(window.desk.player.shown_us - 20e6) < 1e5")
    expect(page.locator("#card")).to_be_hidden()
    visit.complaints.clear()  # the browser tells of what it did not get


def test_a_gap_is_shown_as_a_gap_and_played_through(opened: Open, gap: Recording) -> None:
    """Invariant 4: no frame stands for what the camera did not see, and the time goes on."""
    visit = opened(folder_of(gap))
    page = visit.recording()
    visit.seek(5.0)
    expect(page.locator("#card")).to_be_visible()
    expect(page.locator("#card")).to_contain_text("No video here")
    expect(page.locator("#card")).to_contain_text("No such device")
    expect(page.locator("video")).to_have_css("visibility", "hidden")
    assert "No video here" in (page.get_attribute("#slider", "aria-valuetext") or "")
    shot(visit, "gap")
    visit.seek(6.9)
    page.click("#toggle")
    page.wait_for_function("() => window.desk.player.us > 7.8e6")
    page.click("#toggle")
    visit.settle()
    expect(page.locator("#card")).to_be_hidden()
    number = visit.number()
    assert number is not None
    assert abs(number - gap.playlist.truth.frame_at(visit.seconds())) <= 1


def test_it_plays_across_a_change_of_parameters(opened: Open, tmp_path: Path) -> None:
    """Invariants 4 and 9: behind it the frames are of another size, and of the same axis, whichever came first."""
    sized = recorded("change of size", tmp_path / "sized")
    visit = opened(folder_of(sized))
    page = visit.recording()
    change = page.evaluate("() => window.desk.line.epochs[1].at_us") / 1e6
    truth = sized.playlist.truth
    # Behind the change the truth has the two MP4s one behind the other: without the gap between them.
    behind = {at: number for number, at in sized.mp4s[1].truth.frames.items()}
    for at in (change + 1.51, 0.61, change + 0.11):
        visit.seek(at)
        since = at - page.evaluate("() => window.desk.line.spans.find((span) => span[4] === 2)[0]") / 1e6
        wanted = truth.frame_at(at) if at < change else behind[max(begin for begin in behind if begin <= since + 1e-6)]
        assert visit.number() == wanted, at
        assert page.evaluate("() => document.querySelector('video').videoWidth") == (320 if at < change else 160)
    visit.seek(change - 0.6)
    page.click("#toggle")
    page.wait_for_function("(us) => window.desk.player.us > us", arg=(change + 0.8) * 1e6)
    page.click("#toggle")
    visit.settle()
    assert visit.number() is not None


@pytest.mark.parametrize("case", [OLD, "late microphone, copied"])
def test_it_plays_to_its_end_whatever_its_audio_is(opened: Open, tmp_path: Path, case: str) -> None:
    """Invariant 15: holes in the audio track of an earlier version, and a track that begins late."""
    visit = opened(folder_of(recorded(case, tmp_path / "recorded")))
    page = visit.recording()
    page.evaluate("() => window.desk.player.play(4)")
    page.wait_for_function("() => document.querySelector('video').ended")
    assert page.evaluate("() => window.desk.player.broken") == ""
    assert visit.seconds() == pytest.approx(page.evaluate("() => window.desk.line.length_us") / 1e6, abs=0.1)


def test_the_clock_of_the_page_is_the_timelines(opened: Open, tmp_path: Path) -> None:
    """Invariant 9: the modules tell times as the commands do, also over a step of the clock."""
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage, seconds=6, step_after=2, gap_after=3)
    visit = opened(storage)
    page = visit.recording()
    with (folder / MANIFEST).open("rb") as file:
        line = timeline(signed_lines(file))
    for at in range(0, 7_000_000, 250_001):
        told = page.evaluate("(us) => window.desk.clock.at(us).ms", at)
        known = line.utc_us_at(line.first_ns + at * 1000)
        assert known is not None
        assert told * 1000 == pytest.approx(known, abs=2)
        back = page.evaluate("(us) => window.desk.clock.find(window.desk.clock.at(us).ms)", at)
        assert back == pytest.approx(at, abs=2)
    texts = page.evaluate(
        "async ([of, all]) => { const { elapsed } = await import(of); return all.map((us) => elapsed(us)); }",
        [f"{address()}/time.js", [0, 999, 61_000_000, 3_600_000_000, -2_400_000]],
    )
    assert texts == [
        clock_text(us * 1000).replace("-", "\u2212") for us in (0, 999, 61_000_000, 3_600_000_000, -2_400_000)
    ]


def test_a_mute_is_shown(opened: Open, mutes: Recording) -> None:
    """Invariant 15: silence that the device has put in is called so where it is played."""
    visit = opened(folder_of(mutes))
    page = visit.recording()
    [first, *_] = page.evaluate("() => window.desk.line.mutes")
    visit.seek((first["from_us"] + first["to_us"]) / 2e6)
    expect(page.locator("#badges")).to_contain_text("No audio: mute")
    assert page.locator("#strip rect.mute").count() == 2
    visit.seek(first["from_us"] / 1e6 - 0.1)
    expect(page.locator("#badges")).not_to_contain_text("No audio")


@pytest.mark.parametrize("known", [True, False])
def test_what_is_encrypted_needs_an_identity(opened: Open, tmp_path: Path, known: bool) -> None:
    identity = pyrage.x25519.Identity.generate()
    storage = make_storage(tmp_path / "storage")
    make_recording(storage, sealer=AgeSealer([str(identity.to_public())]), label="a door")
    (tmp_path / "identity").write_text(f"{identity}\n")
    visit = opened(storage, options=("--identity", str(tmp_path / "identity")) if known else ())
    page = visit.recording(shown=known)
    if known:
        expect(page.locator("#card")).to_be_hidden()
        expect(page.locator("#events")).to_contain_text("a door")
    else:
        expect(page.locator("#card")).to_contain_text("Encrypted")
        expect(page.locator("#events")).to_contain_text("sealed")
        expect(page.locator("#events")).not_to_contain_text("a door")


@pytest.mark.short
def test_what_was_altered_is_shown_as_such(opened: Open, gap: Recording, tmp_path: Path) -> None:
    """Invariant 7: in words, on the timeline, and over the picture; the segments beside it are played."""
    copy = tmp_path / "copy" / folder_of(gap).name
    shutil.copytree(folder_of(gap), copy)
    changed = bytearray((copy / "000003.m4s").read_bytes())
    changed[-5] ^= 1
    (copy / "000003.m4s").write_bytes(changed)
    visit = opened(tmp_path / "copy")
    page = visit.recording()
    expect(page.locator("#verdict")).to_have_attribute("data-verdict", "altered")
    expect(page.locator("#problems")).to_contain_text("000003.m4s")
    assert page.locator("#strip rect.problem").count() == 1
    [begin, end, *_] = page.evaluate("() => window.desk.line.spans.find((span) => span[2] === 3)")
    visit.seek((begin + end) / 2e6)
    expect(page.locator("#card")).to_contain_text("Altered")
    shot(visit, "altered")
    visit.seek(end / 1e6 + 0.01)
    expect(page.locator("#card")).to_be_hidden()
    assert visit.number() == gap.playlist.truth.frame_at(end / 1e6 + 0.01)
    page.click("#problems a")  # shown all the same, for who asks
    page.wait_for_selector("#recording[data-ready=true]")
    visit.seek((begin + end) / 2e6)
    expect(page.locator("#badges")).to_contain_text("Altered")


def test_a_vouched_recording_is_authentic(opened: Open, tmp_path: Path) -> None:
    """Invariant 14."""
    storage = make_storage(tmp_path / "storage")
    make_recording(storage)
    signers = tmp_path / "signers"
    signers.write_text(fixed_signer().allowed_signers("BWV-0001"))
    page = opened(storage, options=("--signers", str(signers))).recording()
    expect(page.locator("#verdict")).to_have_attribute("data-verdict", "authentic")
    expect(page.locator("#chain li.holds").first).to_contain_text("Signed by BWV-0001")
    assert page.locator("#chain li.broken").count() == 0


@pytest.mark.short
def test_everything_is_done_by_the_keyboard(opened: Open, gap: Recording) -> None:
    """Frame by frame, from landmark to landmark, at any speed, and a clip."""
    visit = opened(folder_of(gap))
    page = visit.recording()
    truth = gap.playlist.truth
    page.locator("#slider").focus()
    page.keyboard.press("ArrowDown")  # the press
    expect(page.locator("#position .position-now")).to_have_text("00:02.400")
    visit.settle()
    number = visit.number()
    assert number == truth.frame_at(2.4)
    for key, moved in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0), ("ArrowLeft", -1)):
        before = visit.seconds()
        page.keyboard.press(key)
        page.wait_for_function("(us) => window.desk.player.us !== us", arg=round(before * 1e6))
        visit.settle()
        assert visit.number() == number + moved
    page.keyboard.press("i")
    page.wait_for_function("() => document.getElementById('clip-from').value !== ''")
    page.keyboard.press("Shift+ArrowRight")
    visit.settle()
    page.keyboard.press("o")
    page.wait_for_function("() => document.getElementById('clip-to').value !== ''")
    begin, end = (float(page.input_value(f"#clip-{side}")) for side in ("from", "to"))
    assert begin == pytest.approx(2.4 - 1 / RATE, abs=1e-3)
    assert end - begin == pytest.approx(1 + 1 / RATE, abs=1e-3)
    page.keyboard.press("ArrowDown")  # the gap
    expect(page.locator("#card")).to_be_visible()
    page.keyboard.press("Home")
    page.keyboard.press("l")
    page.keyboard.press("l")
    expect(page.locator("#speed")).to_have_text("2\u00d7")
    page.wait_for_function("() => window.desk.player.us > 1e6")
    page.keyboard.press("j")
    expect(page.locator("#speed")).to_have_text("-1\u00d7")
    page.wait_for_function("() => window.desk.player.us < 0.9e6")
    page.keyboard.press("k")
    assert page.evaluate("() => window.desk.player.playing") is False
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    shot(visit, "keys")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("End")
    assert visit.seconds() == pytest.approx(9.4, abs=1.1 / RATE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 320])
def test_axe_finds_nothing(opened: Open, gap: Recording, scheme: str, width: int) -> None:
    """Neither wide nor narrow, light nor dark; and 320 px are enough."""
    visit = opened(folder_of(gap), color_scheme=scheme)
    visit.page.set_viewport_size({"width": width, "height": 900})
    page = visit.recording()
    expect(page.locator("#verdict")).to_have_attribute("data-verdict", "unvouched")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    shot(visit, f"{scheme}-{width}")


def test_german_is_the_same_page(opened: Open, gap: Recording) -> None:
    visit = opened(folder_of(gap))
    page = visit.recording()
    page.select_option("#language", "de")
    page.wait_for_selector("html[lang=de] #recording[data-ready=true]")
    expect(page.locator("#verdict")).to_contain_text("Ohne Bürgen")
    expect(page.locator("#events")).to_contain_text("Kein Bild")
    assert "}" not in page.inner_text("main")
    shot(visit, "german")


def test_hostile_texts_are_text(opened: Open, tmp_path: Path) -> None:
    """What a person wrote is shown as it was written, and never as a part of the page."""
    storage = make_storage(tmp_path / "storage")
    label = '<img src=x onerror="document.title=1"> {device} \u202e&amp;'
    make_recording(storage, label=label, officer="</script><script>1</script>")
    page = opened(storage).recording()
    expect(page.locator("#events")).to_contain_text('<img src=x onerror="document.title=1"> {device}')
    expect(page.locator("#officer")).to_have_text("</script><script>1</script>")
    assert page.locator("#recording img, #recording script").count() == 0
    assert "\u202e" not in page.content()


@pytest.mark.short
def test_a_clip_is_the_one_that_the_command_exports(opened: Open, gap: Recording, tmp_path: Path) -> None:
    """From I to O, byte by byte."""
    visit = opened(folder_of(gap))
    page = visit.recording()
    visit.seek(2.02)
    page.keyboard.press("i")
    page.wait_for_function("() => document.getElementById('clip-from').value !== ''")
    visit.seek(3.98)
    page.keyboard.press("o")
    page.wait_for_function("() => document.getElementById('clip-to').value !== ''")
    begin, end = (float(page.input_value(f"#clip-{side}")) for side in ("from", "to"))
    with page.expect_download() as downloading:
        page.click("#out-form .kinds button >> nth=0")
        page.click("#jobs [data-state=done] a")
    downloading.value.save_as(tmp_path / "clip.mp4")
    export_mp4(folder_of(gap), tmp_path / "wanted.mp4", from_s=begin, to_s=end)
    assert (tmp_path / "clip.mp4").read_bytes() == (tmp_path / "wanted.mp4").read_bytes()
    shot(visit, "handed-out")


@pytest.mark.short
def test_a_still_is_the_frame_that_is_shown(opened: Open, gap: Recording, tmp_path: Path) -> None:
    visit = opened(folder_of(gap))
    page = visit.recording()
    visit.seek(3.33)
    with page.expect_download() as downloading:
        page.click("#out-form .kinds button >> nth=1")
        page.click("#jobs [data-state=done] a")
    downloading.value.save_as(tmp_path / "still.png")
    with av.open(str(tmp_path / "still.png")) as still:
        [frame] = [picture.reformat(format="yuv420p") for picture in still.decode(video=0)]
    assert frame_number(frame) == visit.number() == gap.playlist.truth.frame_at(3.33)


@pytest.mark.short
def test_the_list_is_searched_and_its_address_sent(opened: Open, tmp_path: Path) -> None:
    """The list, its filters in the address, and the pages around it: nothing that axe would find."""
    for number in (1, 2):
        storage = make_storage(tmp_path / "storage" / str(number), device=f"BWV-000{number}")
        make_recording(storage, device=f"BWV-000{number}", label="a knife" if number == 2 else "a door")
    visit = opened(tmp_path / "storage")
    page = visit.page
    rows = page.locator("tr[data-key]")
    expect(rows).to_have_count(2)
    expect(page.locator("tr[data-key] .verdict[data-verdict=unvouched]")).to_have_count(2)
    shot(visit, "list")
    page.fill("#marker", "knife")
    page.keyboard.press("Enter")
    page.wait_for_url("**marker=knife**")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("BWV-0002")
    sent = page.url
    page.goto(f"{visit.origin}/")
    expect(rows).to_have_count(2)
    page.goto(sent)
    expect(rows).to_have_count(1)
    for path in ("/", "/out", "/who"):
        page.goto(f"{visit.origin}{path}")
        for width in (1280, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width, path
            found = Axe().run(page).response["violations"]
            assert [(path, one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        shot(visit, f"page{path.replace('/', '-')}")


def test_several_cameras_are_shown_without_the_one_that_can_not_be_read(opened: Open, tmp_path: Path) -> None:
    folders = []
    for number in (1, 2, 3):
        device = f"BWV-000{number}"
        storage = make_storage(tmp_path / "cards" / str(number), device=device)
        folders.append(make_recording(storage, device=device))
    (folders[1] / MANIFEST).unlink()
    visit = opened(tmp_path / "cards")
    page = visit.page
    for chosen, ready in (([0, 1, 2], "true"), ([1], "false")):
        asked = "&".join(f"r=BWV-000{number + 1}/{folders[number].name}" for number in chosen)
        page.goto(f"{visit.origin}/several?{asked}")
        page.wait_for_selector(f"#several[data-ready={ready}]")
        expect(page.locator(".pane .card", has_text="can't be read")).to_have_count(1)
        if ready == "true":
            page.wait_for_function("() => window.desk.panes.every((pane) => pane.video.readyState >= 2)")
            assert page.evaluate("() => window.desk.panes.length") == 2
    visit.complaints.clear()  # the browser tells of the timeline that is not there


@pytest.mark.short
def test_several_cameras_are_on_one_clock(opened: Open, tmp_path: Path) -> None:
    """Invariant 9: each by its own stamps, and each says how far its clock may be off."""
    for number, (device, quality) in enumerate((("BWV-0001", "synchronised"), ("BWV-0002", "free"))):
        storage = make_storage(tmp_path / f"storage-{number}", device=device)
        make_recording(storage, device=device, quality=quality, seconds=8, gap_after=3 if number else None)
    visit = opened(tmp_path)
    page = visit.page
    page.goto(f"{visit.origin}/")
    links = page.locator("main a[href^='/r/']")
    links.first.wait_for()
    asked = "&".join(f"r={path[3:]}" for path in sorted({link.get_attribute("href") or "" for link in links.all()}))
    page.goto(f"{visit.origin}/several?{asked}")
    page.wait_for_selector("#several[data-ready=true]")
    page.evaluate("() => window.desk.seek(window.desk.from + 2500)")
    page.wait_for_function("() => window.desk.panes.every((pane) => pane.video.readyState >= 2 && !pane.video.seeking)")
    moments = page.evaluate("() => window.desk.panes.map((pane) => pane.clock.at(pane.player.us).ms)")
    assert abs(moments[0] - moments[1]) < 2
    expect(page.locator(".pane .quality").first).to_contain_text("synchronised · ±")
    expect(page.locator(".pane .quality").last).to_contain_text("error unknown")
    page.evaluate("() => window.desk.seek(window.desk.from + 4500)")
    expect(page.locator(".pane .card").last).to_contain_text("Nothing was recorded")
    expect(page.locator(".pane .card").first).to_be_hidden()
    page.evaluate("() => window.desk.seek(window.desk.from + 500)")
    page.click("#toggle")
    page.wait_for_function("() => window.desk.ms > window.desk.from + 2000")
    moments = page.evaluate("() => window.desk.panes.map((pane) => pane.clock.at(pane.player.us).ms)")
    assert abs(moments[0] - moments[1]) < 250
    page.click("#toggle")
    assert [
        (one["id"], [node["html"] for node in one["nodes"]]) for one in Axe().run(page).response["violations"]
    ] == []
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
    shot(visit, "several")


def test_a_clock_that_was_set_tears_nothing_apart(opened: Open, tmp_path: Path) -> None:
    """Invariant 9: beside others a recording lasts as long as it lasts, by the time that its clock was set to."""
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage, seconds=6, step_after=2)
    visit = opened(storage)
    page = visit.page
    page.goto(f"{visit.origin}/several?r=BWV-0001/{folder.name}")
    page.wait_for_selector("#several[data-ready=true]")
    begin, end = page.evaluate("() => [window.desk.panes[0].begin_ms, window.desk.panes[0].end_ms]")
    assert end - begin == pytest.approx(6000, abs=2)
    assert page.inner_text("#utc-time").startswith("08:15:0")
    said = page.evaluate("() => window.desk.panes[0].line.steps.length") > 0
    assert ("set meanwhile" in page.inner_text(".pane .quality")) is said


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 320), ("dark", 320)])
def test_where_it_was_follows_the_play_position(opened: Open, tmp_path: Path, scheme: str, width: int) -> None:
    """Invariant 9: the place that counted at each moment, none where it was lost; a click goes to when it counted."""
    storage = make_storage(tmp_path / "storage")
    make_recording(storage, seconds=6, located=walked())
    visit = opened(storage, color_scheme=scheme)
    visit.page.set_viewport_size({"width": width, "height": 900})
    page = visit.recording()
    expect(page.locator("#where .track")).to_be_visible()
    for at, place in ((0.5, "52.330000"), (1.5, "52.331000"), (2.6, "52.332000"), (3.6, "Position not known")):
        visit.seek(at)
        expect(page.locator(".where-now")).to_contain_text(place)
        shown = page.locator("#where .track-now")
        expect(shown).to_be_visible() if "52" in place else expect(shown).to_be_hidden()
    page.locator("#where .track").scroll_into_view_if_needed()
    where = page.locator("#where .track-start").bounding_box()
    assert where is not None
    page.mouse.click(where["x"] + where["width"] / 2, where["y"] + where["height"] / 2)
    assert visit.seconds() == pytest.approx(0.4, abs=1e-3)
    page.locator("#where .where-marks button").last.click()
    assert visit.seconds() == pytest.approx(2.4, abs=1e-3)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    page.locator("#where").scroll_into_view_if_needed()
    shot(visit, f"where-{scheme}-{width}")


def test_sealed_positions_are_said_to_be_there(opened: Open, tmp_path: Path) -> None:
    """And of a recording without any nothing is said."""
    storage = make_storage(tmp_path / "storage")
    identity = pyrage.x25519.Identity.generate()
    make_recording(storage, located=walked(), sealer=AgeSealer([str(identity.to_public())]))
    make_recording(storage, 2)
    visit = opened(storage)
    page = visit.recording(0, shown=False)
    expect(page.locator("#where")).to_contain_text("Positions that no identity opens: 4.")
    expect(page.locator("#where .track")).to_have_count(0)
    shot(visit, "where-sealed")
    page.select_option("#language", "de")
    page.wait_for_selector("html[lang=de] #recording[data-ready=true]")
    expect(page.locator("#where")).to_contain_text("Positionen, die keine Identität öffnet: 4.")
    page = visit.recording(1)
    page.wait_for_function("() => window.desk.track")
    expect(page.locator("#where")).to_be_hidden()

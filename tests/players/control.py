"""Controls: films of the same frames and beeps as a recording's, made by stock ffmpeg. No byte of them is bwvd's.

What a player misses of a control as well is the player's own. And as frames and beeps of a control are exactly
together, what is measured of them is the stage's and the player's own offset. Controls have no lists of edits: not
every player reads those of a playlist's segments, and the encoder's priming is 21 ms.
"""

from __future__ import annotations

import math
import subprocess
import wave
from array import array
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bwvd.testing.clip import numbered_clip
from tests.players.beeps import BEEP_S, PITCHES, Beep, pitch
from tests.players.scenarios import CASES, FOLDER, HEIGHT, SOUND_RATE, WIDTH, Film, Recording, Truth
from tests.support.stock import need

_VIDEO_TICKS = 90_000  # a second


@dataclass(frozen=True)
class _Part:
    """What is coded in one go: frames with their times in the film, in seconds, and audio from the first to `end_s`.

    silent: it has no audio track.
    """

    frames: dict[int, float]
    end_s: float
    width: int
    height: int
    rate: int
    silent: bool = False

    @property
    def begin_s(self) -> float:
        return min(self.frames.values())


def control(recording: Recording, form: str, root: Path) -> Recording:
    """The control of a recording in one of its forms. root: a folder that is made for it."""
    root.mkdir(parents=True)
    case = CASES[recording.case]
    sizes = [(WIDTH, HEIGHT), *([case.size_after] if case.size_after else [])]
    films: list[Film] = []
    parts: list[_Part] = []
    begin_s = 0.0
    for (width, height), mp4 in zip(sizes, recording.mp4s, strict=True):
        frames = {number: at_s + begin_s for number, at_s in sorted(mp4.truth.frames.items())}
        part = _Part(frames, begin_s + mp4.truth.length_s, width, height, case.rate)
        begin_s = part.end_s
        if form == FOLDER:
            parts += _split(part, case.deaf_s)
        else:
            films.append(_mp4(part, root / f"film-{len(films)}", mp4.press_s))
    if form == FOLDER:
        films.append(_hls(parts, root / "folder", recording.playlist.press_s))
    for path in root.rglob("*"):
        path.chmod(0o755)
    return Recording(recording.case, films[0], films)


def _split(part: _Part, deaf_s: float) -> list[_Part]:
    """A playlist has another part behind a hole of the camera's, and where an audio track begins."""
    begins = [later for before, later in pairwise(part.frames.values()) if later - before > 1.5 / part.rate]
    begins = [part.begin_s, *begins, *([deaf_s] if deaf_s else [])]
    found = []
    for begin_s, end_s in zip(begins, [*begins[1:], part.end_s], strict=True):
        frames = {number: at_s for number, at_s in part.frames.items() if begin_s - 1e-6 < at_s < end_s - 1e-6}
        found.append(_Part(frames, end_s, part.width, part.height, part.rate, silent=begin_s < deaf_s))
    return found


def _mp4(part: _Part, to: Path, press_s: float | None) -> Film:
    to.mkdir()
    path = to / "film.mp4"
    _ffmpeg(part, to, ["-use_editlist", "0", "-movflags", "+faststart", str(path)])
    moved = {number: from_s - part.begin_s for number, from_s in part.frames.items()}
    return Film(path, Truth(moved, _beeps(part, part.begin_s), part.rate), press_s)


def _hls(parts: list[_Part], to: Path, press_s: float | None) -> Film:
    """A playlist of ffmpeg's; of more than one, joined as they stand behind each other."""
    to.mkdir()
    lines: list[str] = []
    for number, part in enumerate(parts):
        name = f"part-{number}"
        options = ["-f", "hls", "-hls_segment_options", "use_editlist=0", "-hls_time", "1", "-hls_list_size", "0"]
        options += ["-hls_playlist_type", "vod", "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", f"{name}.mp4"]
        options += ["-hls_segment_filename", str(to / f"{name}-%05d.m4s"), str(to / f"{name}.m3u8")]
        _ffmpeg(part, to, options)
        for segment in to.glob(f"{name}-*.m4s"):
            segment.write_bytes(_later(segment.read_bytes(), part))
        made = (to / f"{name}.m3u8").read_text().splitlines()
        _lasts(made, part.end_s - part.begin_s)
        if number:
            first = made.index(f'#EXT-X-MAP:URI="{name}.mp4"')
            if (to / f"{name}.mp4").read_bytes() == (to / f"part-{number - 1}.mp4").read_bytes():
                first += 1  # nothing has changed but the time
            made = ["#EXT-X-DISCONTINUITY", *made[first:]]
        lines += made if part is parts[-1] else [line for line in made if line != "#EXT-X-ENDLIST"]
    path = to / "index.m3u8"
    path.write_text("".join(f"{line}\n" for line in lines))
    frames: dict[int, float] = {}
    beeps: list[Beep] = []
    for part in parts:
        frames |= part.frames
        beeps += [] if part.silent else _beeps(part, 0.0)
    return Film(path, Truth(frames, beeps, parts[0].rate), press_s)


def _later(segment: bytes, part: _Part) -> bytes:
    """A segment as it lies behind other parts: ffmpeg begins each at 0."""
    moved = bytearray(segment)
    at, scales = 0, [_VIDEO_TICKS, SOUND_RATE]
    while (at := moved.find(b"tfdt\1", at)) >= 0:
        time = slice(at + 8, at + 16)
        ticks = int.from_bytes(moved[time], "big") + round(part.begin_s * scales.pop(0))
        moved[time] = ticks.to_bytes(8, "big")
        at += 8
    return bytes(moved)


def _lasts(lines: list[str], length_s: float) -> None:
    """Let the last segment last as long as its audio does: ffmpeg counts its frames alone."""
    every = [(index, float(line[8:].rstrip(","))) for index, line in enumerate(lines) if line.startswith("#EXTINF:")]
    last = length_s - sum(lasts_s for _, lasts_s in every[:-1])
    lines[every[-1][0]] = f"#EXTINF:{last:.6f},"
    for index, line in enumerate(lines):
        if line.startswith("#EXT-X-TARGETDURATION:"):
            lines[index] = f"#EXT-X-TARGETDURATION:{max(math.ceil(last), int(line.partition(':')[2]))}"


def _beeps(part: _Part, begin_s: float) -> list[Beep]:
    """Those that are whole in the part: one begins at each full second of the film."""
    seconds = range(math.ceil(part.begin_s), math.floor(part.end_s) + 1)
    whole = [second for second in seconds if second + BEEP_S <= part.end_s]
    return [Beep(second - begin_s, second % len(PITCHES)) for second in whole]


def _ffmpeg(part: _Part, scratch: Path, options: list[str]) -> None:
    """Code the part's frames at their times and the beeps at theirs; both begin at 0."""
    numbers = sorted(part.frames)
    clip, sound = scratch / "frames.mkv", scratch / "round.wav"
    numbered_clip(clip, len(numbers), rate=part.rate, width=part.width, height=part.height, first=numbers[0])
    _beeping(sound)
    command = [need("ffmpeg"), "-v", "error", "-nostdin", "-y", "-i", str(clip)]
    if not part.silent:
        command += ["-stream_loop", "-1", "-ss", f"{part.begin_s % len(PITCHES):.6f}", "-i", str(sound)]
    times = [part.frames[number] for number in numbers]
    holes = {
        index: here - before - 1 / part.rate
        for index, (before, here) in enumerate(pairwise(times), start=1)
        if here - before > 1.5 / part.rate
    }
    at = "+".join([f"N/{part.rate}", *(f"gte(N,{index})*{hole_s:.6f}" for index, hole_s in holes.items())])
    command += ["-vf", f"setpts='({at})/TB'", "-fps_mode", "passthrough", "-enc_time_base", f"1:{_VIDEO_TICKS}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-qp", "20"]
    keys = "+".join([f"eq(mod(n,{part.rate}),0)", *(f"eq(n,{index})" for index in holes)])
    command += ["-g", "100000", "-sc_threshold", "0", "-force_key_frames", f"expr:{keys}"]
    if not part.silent:
        command += ["-c:a", "aac", "-b:a", "64k"]
    command += ["-t", f"{part.end_s - part.begin_s:.6f}", *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    clip.unlink()
    sound.unlink()


def _beeping(path: Path) -> None:
    """One round of beeps, which may be played over and over."""
    beep = round(BEEP_S * SOUND_RATE)
    heard = array("h", [0] * (len(PITCHES) * SOUND_RATE))
    for second in range(len(PITCHES)):
        for at in range(beep):
            heard[second * SOUND_RATE + at] = round(16_000 * math.sin(math.tau * pitch(second) * at / SOUND_RATE))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        file.writeframes(heard.tobytes())

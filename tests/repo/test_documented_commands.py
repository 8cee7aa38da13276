"""Every command in every document is run by a test, or stands in a table that says why not and what is checked instead.

A command that is new in a document and in neither table fails `test_every_command_is_run_or_listed`: add it to RUN with
what it has to say, or to NOT_RUN.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import pyrage
import pytest
import trio

from bwvd.cli.main import main
from bwvd.clock import SystemClock
from bwvd.config.load import parse
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.keys.sshsig import KeySigner, keygen
from bwvd.store.folder import FolderStore
from tests.support.certificates import make_chain
from tests.support.custody_store import Camera, carry
from tests.support.documented import Sandbox, Typed, blocks, documents, name_of, typed
from tests.support.documented_not_run import DEMO, NOT_RUN
from tests.support.documents import page
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.process import Process
from tests.support.source_tree import ROOT
from tests.support.stock import need
from tests.support.time_authority import Authority, honest, time_server

ALL = [command for document in documents() for command in typed(document)]

# --- what is run ------------------------------------------------------------------------------------------------------

HEADLESS = f"{DEMO} --headless --loop 5 --record 5"
WATCH = "bwvd status --watch"
CA_LIST = (
    'echo "* cert-authority,namespaces=\\"bwvd-manifest,bwvd-journal,bwvd-sums\\" $(cat fleet_ca.pub)" > fleet_signers'
)
RELEASE_LIST = (
    'echo "evidence-desk namespaces=\\"bwvd-receipt\\" $(cut -d \' \' -f 1,2 receipt_key.pub)" > receipt_signers'
)
ARCHIVES = "bwvd receipt copied-card --signers camera_signers --key receipt_key -o receipts"
RELEASE = "bwvd release --receipts receipts"
CLERK_LIST = 'echo "clerk namespaces=\\"bwvd-statement\\" $(cut -d \' \' -f 1,2 clerk_key.pub)" >> allowed_signers'
STATEMENT = 'bwvd statement original.mp4 redacted.mp4 --key clerk_key --note "Faces blurred from 00:10 to 00:14"'
CLERK_VERIFY = (
    "ssh-keygen -Y verify -n bwvd-statement -f allowed_signers -I clerk"
    " -s redacted.mp4.statement.json.sig < redacted.mp4.statement.json"
)
CREDENTIALS = "bwvd export REC -o film.mp4 --identity agency.key --c2pa certs.pem --c2pa-key desk.key"
FLEET = "bwvd verify --signers fleet_signers recordings/"

SMALL = '[device]\nid = "BWV-0001"\n[video]\nsource = "lavfi:testsrc2=size=160x120:rate=10"\n[loop]\nseconds = 5\n'

# By page, in the order in which they are typed: the command, and what its output has to match.
RUN = {
    "README": {
        HEADLESS: r"(?s)Camera .*Press .*Recording .*Verified    authentic: .*Exported .*or as it is",
    },
    "install": {
        "sudo bwvd install --root /mnt/card": r"(?s)wrote .*next:.*systemctl --root=\S+/mnt/card enable bwvd",
        "sudo bwvd keygen /etc/bwvd --device BWV-0001": r"device_key",
        "age-keygen -o agency.key": r"Public key: age1",
        WATCH: r"state +standby",
    },
    "wearing": {
        "bwvd list": r"-BWV-0001-000001",
        "bwvd show last": r"(?s)-BWV-0001-000001.*length",
        "sudo bwvd verify": r"authentic",
    },
    "desk": {
        "bwvd verify --signers allowed_signers 20261122T071503Z-BWV-0001-000001": r"authentic",
        "bwvd export 20261122T071503Z-BWV-0001-000001 -o recording.mp4 --identity agency.key": r"recording\.mp4",
        "bwvd export --all /media/card --proof proofs/ --signers allowed_signers": r"-BWV-0001-000001",
        "ssh-keygen -q -t ed25519 -N '' -C evidence-desk -f receipt_key": "",
        RELEASE_LIST: "",
        "mkdir -p copies": "",
        "cp -a /media/card/recordings/. copies/": "",
        "bwvd receipt copies --signers camera_signers --key receipt_key -o receipts": r"-BWV-0001-000001",
        RELEASE: r"released",
        "cp -a /media/card copied-card": "",
        ARCHIVES: r"receipts/BWV-0001-journal-000001\.receipt\.json: ",
        "bwvd export REC --sheet sheet.html --identity agency.key --signers allowed_signers": r"sheet\.html",
        "ssh-keygen -q -t ed25519 -N '' -C clerk -f clerk_key": "",
        CLERK_LIST: "",
        STATEMENT: r"redacted\.mp4",
        "bwvd verify --signers allowed_signers redacted.mp4": r"stated",
        CLERK_VERIFY: r'Good "bwvd-statement" signature for clerk',
        CREDENTIALS: r"film\.mp4",
        "bwvd export film.mp4 -o clip.mp4 --from 1 --to 2 --c2pa certs.pem --c2pa-key desk.key": r"clip\.mp4",
        "ssh-keygen -t ed25519 -f fleet_ca -C fleet": r"saved in fleet_ca",
        "ssh-keygen -s fleet_ca -I BWV-0001 -n BWV-0001 /etc/bwvd/device_key.pub": r"device_key-cert\.pub",
        CA_LIST: "",
        FLEET: r"authentic",
    },
    "offload": {
        "bwvd offload --once": r"-BWV-0001-000001  stored",
        "bwvd status": r"offload    no carrier runs",
    },
    "time": {
        "bwvd offload --once": r"0 recordings waiting for a time-stamp, 1 token on the flash, the last .* by CN=time",
        "bwvd verify --tsa-certs tsa_certs.pem": r"existed before 20\d\d-.*, by CN=time authority of the tests",
    },
    "custody": {
        "ssh-keygen -q -t ed25519 -N '' -C evidence-server -f custody_key": "",
        "bwvd custody file:/mnt/card --signers cameras --key custody_key --once": r"2 recordings received",
        "bwvd custody file:/mnt/card findings": "",
        "bwvd custody file:/mnt/card log --signers cameras --key custody_key": r"evidence-server receipt",
        "bwvd verify --signers cameras file:/mnt/card": r"2 authentic",
    },
    "media-signing": {
        "python -m tests.spikes.media_signing": r"whole MP4: Judged\(signed=19, wrong=0",
    },
    "inside": {
        "pydoc bwvd.testing": r"(?s)bwvd\.testing.*conformance",
    },
}


@contextmanager
def worn(sandbox: Sandbox) -> Iterator[None]:
    """A camera that has recorded and stands by, with the sandbox's configuration."""
    (sandbox.root / "camera").mkdir()
    with Process(sandbox.root / "camera", SMALL + "[recording]\npost_roll_s = 0.5\n") as daemon:
        sandbox.configuration.write_text(daemon.config.read_text())
        daemon.wait_for_loop(1)
        daemon.ask(cmd="record")
        daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 1))
        daemon.ask(cmd="stop")
        daemon.wait_until(lambda status: status["state"] == "standby" and status["recording"] is None)
        closed = daemon.folder / "evidence/recordings"
        daemon.wait_until(lambda _: any(closed.glob("*/SHA256SUMS.sig")))
        yield


@contextmanager
def docked(sandbox: Sandbox) -> Iterator[None]:
    """The same camera beside a dock, which its configuration names."""
    with worn(sandbox):
        (sandbox.root / "mnt/dock").mkdir()
        with sandbox.configuration.open("a") as configuration:
            configuration.write(f'[offload]\nstore = "file:{sandbox.root}/mnt/dock"\n')
        yield


@contextmanager
def dated(sandbox: Sandbox) -> Iterator[None]:
    """The same camera, which asks an authority of the tests."""
    authority = Authority(sandbox.root / "authority")
    shutil.copy(authority.root, sandbox.work / "tsa_certs.pem")
    with worn(sandbox), time_server(honest(authority)) as server:
        with sandbox.configuration.open("a") as configuration:
            configuration.write(f'[witness]\ntsa = ["{server.url}"]\n')
        yield


@contextmanager
def on_the_desk(sandbox: Sandbox) -> Iterator[None]:
    """What was carried to the desk: an encrypted recording, the card, the device's list, the agency's key."""
    camera, card = sandbox.root / "camera", sandbox.root / "media/card"
    camera.mkdir()
    keygen(camera / "keys", "BWV-0001")
    for name in ("allowed_signers", "camera_signers"):
        (sandbox.work / name).write_bytes((camera / "keys/allowed_signers").read_bytes())
    identity = pyrage.x25519.Identity.generate()
    (sandbox.work / "agency.key").write_text(f"{identity}\n")
    signer = KeySigner.load(camera / "keys/device_key")
    storage = make_storage(camera / "evidence", signer)
    recording = make_recording(storage, signer=signer, sealer=AgeSealer([str(identity.to_public())]))
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, signer, device="BWV-0001", limit_bytes=65_536)
        journal.append([Draft("filling", {"text": "x" * 500}, SystemClock().read())] * 80)
        journal.append([])
        journal.close()
    shutil.copytree(storage, card, dirs_exist_ok=True)
    sandbox.recording = shutil.copytree(recording, sandbox.work / recording.name).name
    keygen(sandbox.root / "etc/bwvd", "BWV-0001")  # another device's, for the fleet
    with ExitStack() as sandbox.running:
        yield


@contextmanager
def at_the_store(sandbox: Sandbox) -> Iterator[None]:
    """A folder in which a camera's recordings have arrived, and the list of cameras."""
    camera = Camera(sandbox.root / "camera")
    camera.record(2)
    (sandbox.work / "cameras").write_text(camera.signer.allowed_signers("BWV-0001"))

    async def arrive() -> None:
        store = FolderStore(str(sandbox.root / "mnt/card"))
        await carry(store, camera)
        await store.aclose()

    trio.run(arrive)
    yield


def camera_again(sandbox: Sandbox) -> None:
    """The camera runs, with the desk's list of who may sign receipts."""
    keys = f'[keys]\nsigning = "{sandbox.root}/camera/keys/device_key"\nrelease = ["{sandbox.work}/receipt_signers"]\n'
    daemon = sandbox.running.enter_context(Process(sandbox.root / "camera", SMALL + keys))
    sandbox.configuration.write_text(daemon.config.read_text())
    daemon.wait_for_loop(1)


@contextmanager
def plain(_: Sandbox) -> Iterator[None]:
    yield


def certified(sandbox: Sandbox) -> None:
    """The desk's certificate and its key."""
    chain = make_chain(sandbox.work)
    chain.key.chmod(0o600)


def certified_recordings(sandbox: Sandbox) -> None:
    """What the device records once it has its certificate."""
    storage = make_storage(sandbox.work / "storage")
    make_recording(storage, signer=KeySigner.load(sandbox.root / "etc/bwvd/device_key"))
    (storage / "recordings").rename(sandbox.work / "recordings")


def redacted(sandbox: Sandbox) -> None:
    """What another tool has made of the export."""
    original = (sandbox.work / "recording.mp4").rename(sandbox.work / "original.mp4")
    (sandbox.work / "redacted.mp4").write_bytes(original.read_bytes()[:-1] + b"x")


AROUND = {
    "time": dated,
    "install": worn,
    "wearing": worn,
    "offload": docked,
    "desk": on_the_desk,
    "custody": at_the_store,
}
BEFORE: dict[str, Callable[[Sandbox], None]] = {
    RELEASE: camera_again,
    STATEMENT: redacted,
    CREDENTIALS: certified,
    FLEET: certified_recordings,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_do_what_it_says(name: str, tmp_path: Path) -> None:
    for tool in {command.removeprefix("sudo ").split()[0] for command in RUN[name]} & {"age-keygen", "ssh-keygen"}:
        need(tool)
    sandbox = Sandbox(tmp_path)
    with AROUND.get(name, plain)(sandbox):
        for command, expected in RUN[name].items():
            if command in BEFORE:
                BEFORE[command](sandbox)
            if command == WATCH:
                said = watched(sandbox, command)
            else:
                done = sandbox.run(command)
                said = done.stdout + done.stderr
                assert done.returncode == 0, f"{command}\n{said}"
            assert re.search(expected, said), f"{command}\n{said}"
    if name == "README":
        assert labels(said) == labels(next(block for block in blocks(ROOT / "README.md", "") if "Camera" in block))


def labels(told: str) -> list[str]:
    """The words that the demo's lines begin with."""
    return [line[:12].strip() for line in told.splitlines()]


def watched(sandbox: Sandbox, command: str) -> str:
    """What a command says that goes on until Ctrl-C, up to its second status."""
    process = subprocess.Popen(
        shlex.split(sandbox.here(command)), env=sandbox.environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if said.count("state ") == 2:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=20)
    assert process.returncode == 0
    return said


@pytest.mark.slow
def test_the_demo_is_played_with_the_keyboard(tmp_path: Path) -> None:
    """The first command of the README, typed on a terminal: a press, a marker, a refusal, the end."""
    sandbox = Sandbox(tmp_path)
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    environment = {**sandbox.environment, "COLUMNS": "200", "TERM": "xterm"}
    demo = subprocess.Popen(
        shlex.split(sandbox.here(DEMO)), env=environment, cwd=sandbox.work, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = ""

    def wait_for(text: str, limit_s: float = 60) -> None:
        nonlocal seen
        until_s = time.monotonic() + limit_s
        while text not in seen:
            assert time.monotonic() < until_s, f"no {text!r} in\n{seen}"
            try:
                read = os.read(ours, 65_536).decode("utf-8", "replace")
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # the terminal's other end is closed
                break
            else:
                seen += read
        assert text in seen, seen
        seen = seen.partition(text)[2]

    try:
        wait_for("space press")
        wait_for("STANDBY")
        wait_for("frames")
        os.write(ours, b" ")
        wait_for("RECORDING")
        os.write(ours, b"m")
        wait_for("marker set")
        os.write(ours, b"s")
        wait_for("refused: a recording runs")
        wait_for("s on flash in ")
        os.write(ours, b"q")
        wait_for("Verified    authentic")
        wait_for("Exported")
        wait_for("Play it")
        assert demo.wait(30) == 0
    finally:
        demo.kill()
        demo.wait()
        os.close(ours)


# --- the tables and the documents ------------------------------------------------------------------------------------

LISTED = [(page_, command) for page_, table in NOT_RUN.items() for command in table]


def of_bwvd(one: Typed) -> bool:
    """A command of bwvd inside a sentence: judged by its options, which click knows."""
    return one.inline and one.command.startswith("bwvd ")


def test_every_command_is_run_or_listed() -> None:
    left = [
        f"{one.page}: {one.command}"
        for one in ALL
        if not of_bwvd(one) and one.command not in {**RUN.get(one.page, {}), **NOT_RUN.get(one.page, {})}
    ]
    assert left == []


def test_commands_are_found_in_blocks_and_in_sentences(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "Type `bwvd list --json` or `python -m\ntests.bench`, not `bwvd` or `a name`.\n\n"
        "```sh\nsudo bwvd check && bwvd list   # both\n# nothing\n\necho 'a # b' | tee c\n```\n\n"
        "```\nbwvd: what it says\n```\n\n```console\n$ bwvd show last\n```\n"
    )
    assert [(one.command, one.inline) for one in typed(document)] == [
        ("sudo bwvd check", False),
        ("bwvd list", False),
        ("echo 'a # b' | tee c", False),
        ("bwvd show last", False),
        ("bwvd list --json", True),
        ("python -m tests.bench", True),
    ]


def test_every_command_of_the_tables_is_in_its_page() -> None:
    told = {(one.page, one.command) for one in ALL}
    assert len(told) > 80
    assert [(page_, command) for page_, table in RUN.items() for command in table if (page_, command) not in told] == []
    assert [row for row in LISTED if row not in told] == []


def test_the_commands_of_a_page_are_run_in_its_order() -> None:
    for name, table in RUN.items():
        order = [one.command for one in ALL if one.page == name and not one.inline and one.command in table]
        assert list(dict.fromkeys(order)) == [command for command in table if command in order]


@pytest.mark.parametrize(("name", "command"), LISTED)
def test_what_is_not_run_is_checked_in_another_way(name: str, command: str) -> None:
    listed = NOT_RUN[name][command]
    assert listed.why
    listed.check(command)


INLINE = sorted({one.command for one in ALL if of_bwvd(one)})


@pytest.mark.parametrize("command", INLINE)
def test_what_a_sentence_says_of_bwvd_can_be_typed(command: str) -> None:
    """The command is there, and takes the options that stand beside it."""
    words = re.sub(r"[\[\]…]", " ", command).split()[1:]
    if words[0].isupper():
        return  # `bwvd COMMAND --help`
    context = click.Context(main)
    found = main.get_command(context, words[0])
    assert found is not None, command
    known = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    assert {word for word in words[1:] if word.startswith("-")} - known == set()
    takes = [parameter for parameter in found.params if isinstance(parameter, click.Argument)]
    if words[1:] and not words[1].startswith("-"):
        assert takes, f"{command}: it takes no argument"


def test_every_command_of_bwvd_is_in_the_page_of_commands() -> None:
    told = set(re.findall(r"`(?:bwvd )?([a-z]+)", page("commands")))
    assert set(main.list_commands(click.Context(main))) - told == set()


CONFIGURATIONS = [
    pytest.param(block, id=f"{name_of(document)}-{number}")
    for document in documents()
    for number, block in enumerate(blocks(document, "toml"))
]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_sample_of_a_configuration_can_be_used(text: str) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    parse(text.replace("age1…", recipient), "sample")

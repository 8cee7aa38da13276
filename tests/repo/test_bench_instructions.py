"""Instructions of an ARM: what is made of the counts, what counts them, and what is said where that can't be done."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.emulated import PYTHON, SOURCE, Missing, by_part, emulator, threads_in
from tests.bench.instructions import Row, Snapshot, TooSlow, a_frame, beside, check_kept_up, table, whole
from tests.support.source_tree import ROOT
from tests.support.stock import need

# The part of QEMU's interface that the plugin is made of, and a program in QEMU's place: three threads run a block of
# seven instructions, the last after the second has ended, which leaves it the number that it had.
HEADER = """
#include <stddef.h>
#include <stdint.h>
#define QEMU_PLUGIN_EXPORT
#define QEMU_PLUGIN_VERSION 4
#define QEMU_PLUGIN_CB_NO_REGS 0
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
typedef void (*begun_t)(qemu_plugin_id_t, unsigned int);
typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed_t)(unsigned int, void *);
void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t, begun_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_t, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);
"""
PROGRAM = """
#include <pthread.h>
#include "qemu-plugin.h"
static begun_t begun; static translated_t translated; static executed_t executed; static void *block;
void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, begun_t f) { (void)id; begun = f; }
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated_t f) { (void)id; translated = f; }
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, executed_t f, int flags, void *data)
{ (void)tb; (void)flags; executed = f; block = data; }
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb) { (void)tb; return 7; }
static void *thread(void *times)
{ begun(1, 1); for (uintptr_t n = 0; n < (uintptr_t)times; n++) executed(1, block); return NULL; }
int main(int argc, char **argv)
{
    pthread_t one;
    if (qemu_plugin_install(1, NULL, argc - 1, argv + 1)) return 3;
    begun(1, 0); translated(1, NULL); executed(0, block);
    for (uintptr_t times = 2; times < 4; times++) {
        pthread_create(&one, NULL, thread, (void *)times); pthread_join(one, NULL);
    }
    return 0;
}
"""


def test_the_plugin_counts_each_thread_by_itself(tmp_path: Path) -> None:
    """Also where QEMU gives a thread the number of one that has ended; what it writes is what is read here."""
    cc = need("cc")
    (tmp_path / "qemu-plugin.h").write_text(HEADER, encoding="utf-8")
    (tmp_path / "program.c").write_text(PROGRAM, encoding="utf-8")
    options = ["-Wall", "-Wextra", "-Werror", "-pthread", f"-I{tmp_path}", "-o", str(tmp_path / "program")]
    subprocess.run([cc, *options, str(tmp_path / "program.c"), str(SOURCE)], check=True)
    counts = tmp_path / "counts"
    with subprocess.Popen([str(tmp_path / "program"), f"out={counts}"]) as process:
        assert process.wait(10) == 0
    found = list(threads_in(counts.read_bytes()))
    assert [instructions for _, instructions in found] == [7, 14, 21]
    assert found[0][0] == process.pid
    for wrong in ([], ["file=x"], [f"out={tmp_path}/none/counts"]):
        assert subprocess.run([str(tmp_path / "program"), *wrong], check=False).returncode == 3


def test_counts_are_put_to_the_parts_of_the_daemon() -> None:
    """Main by its id, the camera's by its name; an id that came twice, and a thread that has ended, are not lost."""
    counts = struct.pack("=12Q", 10, 100, 11, 20, 12, 3, 12, 4, 13, 5, 0, 0)
    names = {10: "qemu-aarch64", 11: "capture v4l2:/d", 12: "Trio thread 1"}
    assert by_part(counts, names, 10) == Counter(main=100, capture=20, others=12)


def test_a_press_is_what_its_frames_do_not_explain() -> None:
    begin = Snapshot(100, Counter(main=1000, capture=50))
    middle = Snapshot(110, Counter(main=1900, capture=150, others=60))
    end = Snapshot(130, Counter(main=2100, capture=350, others=160))
    frame = a_frame("recording", middle, end)
    assert frame.parts == {"main": 10, "capture": 10, "others": 5}
    assert frame.all == 25
    assert beside("press", begin, middle, frame).parts == {"main": 800, "capture": 0, "others": 10}
    slower = Row("recording", {"main": 10, "capture": 20, "others": 5}, a_frame=True)
    assert beside("press", begin, middle, slower).parts["capture"] == 0  # less than nothing is nothing
    assert whole("start", begin).parts == {"main": 1000, "capture": 50, "others": 0}


def test_the_table_has_a_group_of_pictures_for_each_frame(capsys: pytest.CaptureFixture[str]) -> None:
    frame = Row("standby, a frame", {"main": 20_000, "capture": 100_000, "others": 345}, a_frame=True)
    press = Row("a press", {"main": 4_000_000, "capture": 0, "others": 80_000_000})
    Console(width=150).print(table([("copied", [frame, press])]))
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if "copied" in line
    ]
    assert lines == [
        ["copied, standby, a frame", "20.0", "100.0", "0.3", "120.3", "3,610"],
        ["copied, a press", "4,000", "0.0", "80,000", "84,000", ""],
    ]


def _program(path: Path, says: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_what_is_missing_is_named_one_thing_at_a_time(tmp_path: Path) -> None:
    root, package = tmp_path / "root", tmp_path / "package.deb"
    plain = _program(tmp_path / "plain" / "qemu", "-cpu  QEMU_CPU  select CPU")
    able = _program(tmp_path / "qemu" / "bin" / "qemu", "-plugin  QEMU_PLUGIN  [file=]<file>")

    def missing(qemu: str) -> str:
        with pytest.raises(Missing) as told:
            emulator(root, package, qemu, tmp_path)
        assert "\n" not in str(told.value)
        return str(told.value)

    assert "no qemu-of-nowhere here: `.ci/qemu FOLDER` makes one" in missing("qemu-of-nowhere")
    assert "takes no plugins" in missing(plain)
    assert f"no Python in {root}: `.ci/arm FOLDER` makes" in missing(able)
    _program(root / PYTHON, "")
    assert "no " + str(package) in missing(able)
    package.touch()
    need("cc"), need("dpkg-deb")
    assert "no qemu-plugin.h in" in missing(able)


def test_the_command_says_what_is_missing_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.instructions", str(tmp_path), "--qemu", "qemu-of-nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert ".ci/qemu" in done.stderr


def test_counts_of_an_emulation_that_lost_frames_are_none() -> None:
    recording = {"seconds": 20.0, "committed_s": 18.0}
    check_kept_up({"video": {"dropped": 0}, "recording": recording})
    with pytest.raises(TooSlow, match=r"^3 frames were lost"):
        check_kept_up({"video": {"dropped": 3}, "recording": recording})
    with pytest.raises(TooSlow, match=r"the recording is 4\.0 s behind"):
        check_kept_up({"video": {"dropped": 0}, "recording": {**recording, "committed_s": 16.0}})


def test_the_scripts_that_are_named_are_there() -> None:
    for name in (".ci/qemu", ".ci/arm", ".ci/deb"):
        assert os.access(ROOT / name, os.X_OK), name
    if bash := shutil.which("bash"):
        subprocess.run([bash, "-n", str(ROOT / ".ci" / "qemu")], check=True)

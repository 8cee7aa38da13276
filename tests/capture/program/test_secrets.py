"""What a program says is stored and shown: no secret of its command line may be in it."""

from __future__ import annotations

import shlex

import pytest

from bwvd.capture.program.secrets import Secrets


@pytest.mark.parametrize(
    ("command", "said", "shown"),
    [
        (
            "-i rtsp://admin:hunter2@10.0.0.1/live",
            "rtsp://admin:hunter2@10.0.0.1/live: Connection refused",
            "rtsp://…@10.0.0.1/live: Connection refused",
        ),
        ("-i rtsp://admin:hunt%40er2@10.0.0.1/live", "wrong password hunt@er2", "wrong password ***"),
        ("'http://10.0.0.1/video?token=8f3a77'", "GET /video?token=8f3a77: 403", "GET /video?token=***: 403"),
        ("--user admin:hunter2 --port 80", "admin, hunter2: refused by :80", "***, ***: refused by :80"),
        ("--password=hunter2", "password hunter2 is too short", "password *** is too short"),
        ("rtspsrc location=rtsp://10.0.0.1 user-id=admin user-pw=hunter2", "admin / hunter2", "*** / ***"),
        ("-headers 'Authorization: Basic YWRtaW46'", "Authorization: Basic YWRtaW46", "***"),
        # What tells a person what to mend stays.
        ("-q libcamerasrc ! fdsink", 'no element "libcamerasrc"', 'no element "libcamerasrc"'),
        ("-f v4l2 -i /dev/video0", "/dev/video0: Device or resource busy", "/dev/video0: Device or resource busy"),
        ("-c:v libx264 -g 15 -u 5", "15 frames of 5", "15 frames of 5"),
        ("--pass", "--pass: an argument is missing", "--pass: an argument is missing"),
    ],
)
def test_a_secret_of_the_command_is_not_repeated(command: str, said: str, shown: str) -> None:
    assert Secrets(shlex.split(command)).blotted(said) == shown


def test_what_only_looks_like_an_address_is_none() -> None:
    assert Secrets(["http://[::1"]).blotted("http://[::1: no host") == "http://[::1: no host"

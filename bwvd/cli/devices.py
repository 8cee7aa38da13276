"""`bwvd devices`: cameras, microphones and controls that are plugged in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from bwvd.text import clean


def found_devices() -> list[dict[str, Any]]:
    """`bwvd devices --json`: what is plugged in, each with what to write in the configuration."""
    from bwvd.capture.device.discovery import cameras, microphones
    from bwvd.controls.discovery import list_controls

    found: list[dict[str, Any]] = []
    for camera in cameras():
        found.append({"kind": "camera", "where": camera.path, "what": camera.name, "problem": camera.note})
        found[-1]["toml"] = f'[video]\nsource = "{camera.source}"'
    found += _ribbon_cameras()
    for microphone in microphones():
        found.append({"kind": "microphone", "where": microphone.path, "what": microphone.name})
        found[-1] |= {"problem": microphone.note, "toml": f'[audio]\nsource = "{microphone.source}"'}
    return [*found, *_receivers(), *(asdict(control) for control in list_controls())]


def _receivers() -> list[dict[str, Any]]:
    from bwvd.position.discovery import list_receivers

    return [
        {
            "kind": "receiver",
            "where": one.where,
            "what": one.what,
            "problem": one.problem,
            "toml": f'[gnss]\nsource = "{one.source}"' if one.source else "",
        }
        for one in list_receivers()
    ]


def _ribbon_cameras() -> list[dict[str, Any]]:
    from bwvd.capture.program.rpicam_cameras import NoList, encodes, list_cameras, program

    path = program()
    if path is None:
        return []
    try:
        cameras = list_cameras(path)
    except NoList as error:
        return [{"kind": "camera", "where": "ribbon cable", "what": path, "problem": str(error), "toml": ""}]
    how = "the board encodes" if encodes() else "no hardware encoder: frames are encoded here"
    return [
        {
            "kind": "camera",
            "where": f"ribbon cable {camera.index}",
            "what": f"{camera.model} [{camera.shape}], {how}",
            "problem": "",
            "toml": f'[video]\nsource = "rpicam:{camera.model}"',
        }
        for camera in cameras
    ]


def print_devices(found: Sequence[Mapping[str, Any]]) -> None:
    """`bwvd devices`: the same for a person."""
    if not found:
        click.echo("no camera, microphone, receiver, GPIO chip, input device or serial port was found")
    for one in found:
        problem = f"  ({one['problem']})" if one["problem"] else ""
        click.echo(f"{one['kind']:10} {clean(str(one['where']))}  {clean(str(one['what']))}{clean(problem)}")
        for line in str(one["toml"]).splitlines():
            click.echo(f"           {clean(line)}")

"""A stock RTSP server, GStreamer's, on loopback: `rtsp_server.py LAUNCH`. Run by the system's Python, which has `gi`.

Prints the port that it listens on. `gi.repository` has no type information, and this is no part of the suite's process.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - after the versions are asked for

HOLE_FROM_MS, HOLE_MS = 4_000, 700  # after the first client: the valve "hole" is shut for so long


def configure(_: object, media: object) -> None:
    """Shut the valve of the pipeline for a while, where there is one."""
    valve = media.get_element().get_by_name("hole")  # type: ignore[attr-defined]  # gi has no types
    if valve is not None:
        GLib.timeout_add(HOLE_FROM_MS, lambda: valve.set_property("drop", True) and False)
        GLib.timeout_add(HOLE_FROM_MS + HOLE_MS, lambda: valve.set_property("drop", False) and False)


Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_launch(sys.argv[1])
factory.set_shared(True)
factory.connect("media-configure", configure)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()

"""A position in the words of Exif, as C2PA's assertion `c2pa.metadata` has them. Pure.

Names and forms are XMP's for Exif (ISO 16684-2; CIPA DC-010): an angle is `52,19.860000N`, a number `1250/100`. Which
of them the assertion may hold, C2PA 2.2 lists in its annex on metadata.
"""

from __future__ import annotations

from typing import Any

from bwvd.evidence.format import records
from bwvd.evidence.format.utc import parse_utc

METADATA = "c2pa.metadata"  # the assertion's label
_CONTEXT = {"exif": "http://ns.adobe.com/exif/1.0/"}
_MILLIONTHS = 60 * 1_000_000  # of a minute, in a degree


def exif_position(fix: records.Fix) -> dict[str, Any]:
    """The assertion's content. What the receiver did not give is not in it; its time is the receiver's own."""
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "exif:GPSVersionID": "2.3.0.0",
        "exif:GPSLatitude": _angle(fix.latitude, "NS"),
        "exif:GPSLongitude": _angle(fix.longitude, "EW"),
        "exif:GPSMapDatum": "WGS-84",
        "exif:GPSMeasureMode": "3" if fix.mode == 3 else "2",
    }
    if fix.altitude_m is not None:
        found["exif:GPSAltitudeRef"] = 1 if fix.altitude_m < 0 else 0  # 1: below sea level
        found["exif:GPSAltitude"] = _ratio(abs(fix.altitude_m))
    if fix.error_m is not None:
        found["exif:GPSHPositioningError"] = _ratio(fix.error_m)
    if fix.satellites is not None:
        found["exif:GPSSatellites"] = str(fix.satellites)
    if (at := parse_utc(fix.utc)) is not None:
        found["exif:GPSDateStamp"] = f"{at:%Y:%m:%d}"
        found["exif:GPSTimeStamp"] = f"{at:%H:%M:%S}"
    return found


def _angle(degrees: float, sides: str) -> str:
    whole, rest = divmod(round(abs(degrees) * _MILLIONTHS), _MILLIONTHS)
    minutes, part = divmod(rest, 1_000_000)
    return f"{whole},{minutes}.{part:06}{sides[degrees < 0]}"


def _ratio(number: float) -> str:
    return f"{round(number * 100)}/100"

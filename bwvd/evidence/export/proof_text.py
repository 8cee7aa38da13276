"""The two texts in a proof: what the recording says, and how a stranger checks it with stock tools. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from bwvd.evidence.export.proof_facts import Facts
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.layout import MANIFEST, SUMS, init_name
from bwvd.evidence.format.utc import parse_utc
from bwvd.text import printable

_CHAIN_TABLE = """
Every record of manifest.jsonl. Each is signed over all bytes of the file before its signature. The column SHA-512
begins the digest of the file up to and including that signature.

   line       byte  record     SHA-512           what"""

_INTRODUCTION = """Recording {id}

The folder {folder} is a recording of a body-worn
camera, as the camera stored it. This file says how to check it with tools that are not ours: ssh-keygen (OpenSSH 8.2
or later), sha256sum, sed, awk, ffmpeg, and age for encrypted recordings. Indented lines are commands for a shell, to
be run in this order in the folder of this file. CHAIN.txt is a summary for people; nothing depends on it.

1. Whose key?

Everything below shows that the recording was signed by the key in device_key.pub. Whether that is the camera's key must
be asked of whoever issued the camera, not of this archive.

    ssh-keygen -l -f device_key.pub

must print {fingerprint}, and the issuer must know it."""

_AUTHORITY = """
The key is certified: allowed_signers names the authority, and the issuer must know that key."""

_MANIFEST = """
2. The manifest is what was signed

manifest.jsonl was written line by line. Each record is followed by a signature over all bytes of the file before it, so
the last signature, at byte {at}, covers every record.

    {{ echo '-----BEGIN SSH SIGNATURE-----'
      tail -c +{after} {manifest} | head -n 1 | cut -d '"' -f 4 | fold -w 70
      echo '-----END SSH SIGNATURE-----'; }} > manifest.sig
    head -c {at} {manifest} |
      {verify} -n bwvd-manifest -s manifest.sig

must print: Good "bwvd-manifest" signature"""

_SEGMENTS = r"""
3. The video is what the manifest names

    (cd {folder} && head -c {at} manifest.jsonl |
      sed -n 's/^{{"type":"segment".*"file":"\([^"]*\)".*"sha256":"\([0-9a-f]*\)".*/\2  \1/p' |
      sha256sum -c)

must say OK of {segments} segments, which are numbered without a hole."""

_NO_SEGMENTS = """
3. The video is what the manifest names

There is none: the recording has no segment."""

_SUMS = """
4. Everything else in the folder

    {verify} \\
      -n bwvd-sums -s {folder}/SHA256SUMS.sig < {folder}/SHA256SUMS
    (cd {folder} && sha256sum -c SHA256SUMS)

must print: Good "bwvd-sums" signature, and OK of every file. No other file may be in the folder but SHA256SUMS and
SHA256SUMS.sig."""

_NO_SUMS = """
4. Everything else in the folder

There is no SHA256SUMS: the recording was not brought to its end (see CHAIN.txt). What step 3 lists is covered by the
manifest's signatures; whatever else is in the folder is not."""

_DECRYPTING = """It is encrypted with age. Name the file of an identity that opens it:

    KEY=identity.txt
    mkdir -p segments
    for f in {folder}/0*.m4s.age; do
      age -d -i "$KEY" -o "segments/$(basename "$f" .age)" "$f"; done
"""

_EPOCH = """    sed -n 's/^{{"type":"{kind}".*"init":"\\([^"]*\\)".*/\\1/p' {manifest} |
      sed -n {line}p | base64 -d > {init}
    {{ cat {init}
      awk 'BEGIN {{ for (n = {first}; n <= {last}; n++) printf "{segments}/%06d.m4s\\n", n }}' | xargs cat; }} > {play}
    ffmpeg -v error -i {play} -f null -
"""

_END = """ffmpeg must print nothing: every frame decodes. ffplay, mpv or a browser shows play-1.mp4.

The format is documented in FORMAT.md of bwvd, which verifies this archive as well: bwvd verify THIS.zip"""


def chain_text(facts: Facts) -> str:
    """CHAIN.txt"""
    return "".join(f"{line}\n" for line in _chain_lines(facts))


def _chain_lines(facts: Facts) -> Iterator[str]:
    report = facts.report
    yield f"Recording       {printable(report.id)}"
    yield f"Verdict         {report.verdict} (by bwvd; README.txt says how to check it without bwvd)"
    yield f"Key             {facts.fingerprint}"
    if facts.open is not None:
        press, before = facts.open.press, facts.open.pre_event
        clock = press.stamp.quality
        if press.stamp.uncertainty_us is not None:
            clock += f", to {press.stamp.uncertainty_us / 1000:g} ms"
        short = f", less than asked because: {before.reason}" if before.reason else ""
        yield printable(f"Device          {facts.open.device}, serial number {facts.open.serial}")
        yield printable(f"Press           {press.stamp.utc} by {press.source} (clock: {clock})")
        yield printable(f"Before it       {before.got_s:.3f} s of {before.asked_s:g} s asked{short}")
        yield printable(f"First frame     {facts.open.origin_utc}")
        yield printable(f"Encrypted to    {', '.join(facts.open.recipients) or 'nobody: stored in the clear'}")
    yield f"Length          {report.duration_s:.3f} s, {report.segments} segments, {report.frames} frames"
    for finding in report.findings:
        yield f"NOT IN ORDER    {finding.where}: {finding.what}"
    for note in report.notes:
        yield f"Note            {note.where}: {note.what}"
    yield _CHAIN_TABLE
    for signed, what in facts.signed:
        kind = signed.record.type if isinstance(signed.record, Unknown) else type(signed.record).__struct_config__.tag
        digest = signed.sha512.hex()[:16]
        yield printable(f"{signed.line:7} {signed.offset:10}  {kind!s:10} {digest}  {what}")


def readme_text(facts: Facts) -> str:
    """README.txt: indented lines are commands, to be run in order in the folder that the file lies in."""
    return "\n".join(_readme_parts(facts)) + "\n"


def _readme_parts(facts: Facts) -> Iterator[str]:
    report = facts.report
    folder = shlex.quote(f"recordings/{report.id}")
    words = {
        "id": printable(report.id),
        "folder": folder,
        "fingerprint": facts.fingerprint,
        "at": facts.signature_at,
        "after": facts.signature_at + 1,
        "manifest": f"{folder}/{MANIFEST}",
        "segments": report.segments,
        "verify": _verify_command(facts),
    }
    yield _INTRODUCTION.format(**words)
    if facts.certified:
        yield _AUTHORITY
    yield _MANIFEST.format(**words)
    yield (_SEGMENTS if report.segments else _NO_SEGMENTS).format(**words)
    yield (_SUMS if SUMS in facts.names else _NO_SUMS).format(**words)
    yield "\n5. Playing it\n"
    if not report.segments:
        yield "There is nothing to play."
        return
    if facts.encrypted:
        yield _DECRYPTING.format(**words)
    yield "The init segment (codec parameters) is in the manifest; behind it the segments play as one file:\n"
    for epoch, numbers in enumerate(facts.epochs, 1):
        if numbers:
            yield _EPOCH.format(
                kind="open" if epoch == 1 else "init",
                line=max(1, epoch - 1),
                manifest=words["manifest"],
                init=init_name(epoch),
                first=numbers[0],
                last=numbers[-1],
                segments="segments" if facts.encrypted else f"recordings/{report.id}",
                play=f"play-{epoch}.mp4",
            )
    yield _END


def _verify_command(facts: Facts) -> str:
    """The stock command, without what differs."""
    command = f"ssh-keygen -Y verify -f allowed_signers -I {shlex.quote(facts.principal)}"
    moment = parse_utc(facts.signed_at_utc)
    if facts.dated and moment is not None:
        # Keys with a period and certificates are judged by the time of the recording, not of reading it.
        command += f" -O verify-time={moment:%Y%m%d%H%M%SZ}"
    return command

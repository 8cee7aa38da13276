"""The two texts in a proof: what the recording says, and how a stranger checks it with stock tools. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bwvd.evidence.export.proof_facts import Facts
from bwvd.evidence.export.proof_time import time_text
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.layout import AUTHORITY_KEY, MANIFEST, PUBLIC_KEY, SUMS, init_name
from bwvd.evidence.format.utc import parse_utc
from bwvd.evidence.keys.sshsig import allowed_signers_line
from bwvd.evidence.verify.excerpt import Chosen
from bwvd.text import counted, printable

_CHAIN_TABLE = """
Every record of manifest.jsonl. Each is signed over all bytes of the file before its signature. The column SHA-512
begins the digest of the file up to and including that signature.

   line       byte  record     SHA-512           what"""


_KINDS = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}  # of keys, as ssh-keygen calls them; every other is ECDSA

_INTRODUCTION = """Recording {id}

The folder {folder} is a recording of a body-worn
camera, as the camera stored it. This file says how to check it with tools that are not ours: ssh-keygen (OpenSSH 8.2
or later), sha256sum, sed, awk, ffmpeg, and age for encrypted recordings. Indented lines are commands for a shell, to
be run in this order in the folder of this file. Each must print what is said below it; a command that fails is a no.
CHAIN.txt is a summary for people; nothing depends on it.

1. Whose key?

Everything below shows that the recording was signed by one key{certified}.
Whether it is the camera's{authority} must be asked of whoever issued the camera, not of this archive, and not of this
text: whoever makes up a recording can make up these as well.

    head -n 1 {key_file} | cut -d ' ' -f 1,2 > trusted_key.pub
    ssh-keygen -l -f trusted_key.pub | grep -F ' {vouching_fingerprint} '

must print one line with {vouching_fingerprint}. Ask the issuer for
the fingerprint, and compare all of it. The list of keys that count is made from this key, and no other list:

    printf '%s %s\\n' {line} "$(cat trusted_key.pub)" > trusted_signers"""

_MANIFEST = """
2. The manifest is what was signed

manifest.jsonl was written line by line. Each record is followed by a signature over all bytes of the file before it, so
the last signature, at byte {at}, covers every record.

    {{ echo '-----BEGIN SSH SIGNATURE-----'
      tail -c +{after} {manifest} | head -n 1 | cut -d '"' -f 4 | fold -w 70
      echo '-----END SSH SIGNATURE-----'; }} > manifest.sig
    head -c {at} {manifest} |
      {verify} -n bwvd-manifest -s manifest.sig |
      grep -x -F 'Good "bwvd-manifest" signature {by}'

must print this line, whole:
Good "bwvd-manifest" signature {by}

The last record says how the recording ended:

    head -c {at} {manifest} | tail -n 1 | grep -o '^{{"type":"[a-z]*"'

must print {{"type":"close" of one that was ended in order, {{"type":"recovered" of one that was broken off and that the
camera signed at its next start. Anything else has no end: it was running, or its end was cut off."""

_SEGMENTS = r"""
3. The video is what the manifest names

    (cd {folder} && head -c {at} manifest.jsonl |
      sed -n 's/^{{"type":"segment".*"file":"\([^"]*\)".*"sha256":"\([0-9a-f]*\)".*/\2  \1/p' |
      {these}sha256sum -c)

must say OK of {segments} segments, which are numbered without a hole{withheld}."""

_TEXTS = r"""
Texts about people (markers, who wore the camera) are sealed in files of their own, which the manifest names as well:

    (cd {folder} && head -c {at} manifest.jsonl |
      sed -n 's/^{{"type":"[mo][af].*"sealed":{{"file":"\([^"]*\)","bytes":[0-9]*,"sha256":"\([0-9a-f]*\)".*/\2  \1/p' |
      {those}sha256sum -c)

must say OK of {texts} texts."""

_NO_SEGMENTS = """
3. The video is what the manifest names

There is none: the recording has no segment."""

_SUMS = """
4. Everything else in the folder

    {verify} \\
      -n bwvd-sums -s {folder}/SHA256SUMS.sig < {folder}/SHA256SUMS |
      grep -x -F 'Good "bwvd-sums" signature {by}'

must print this line, whole:
Good "bwvd-sums" signature {by}

    (cd {folder} && sha256sum -c SHA256SUMS)

must say OK of every file.

    cut -c 67- {folder}/SHA256SUMS | LC_ALL=C sort > listed
    ls -A {folder} | grep -v -x -e SHA256SUMS -e 'SHA256SUMS\\.sig' |
      LC_ALL=C sort | diff listed -

must print nothing: no other file is in the folder. (A name with a backslash is a file that the camera found at its next
start; the last record names it, with its SHA-256.)"""

_EXCERPT = """
This is an excerpt: whoever made it has put in {excerpt}, and has withheld the others with
the texts that go with them. Nothing that the camera signed says so, and nothing is hidden by it: the manifest names
every segment, those that are not here too, with its time and its SHA-256. A segment between the first and the last one
here that is not here would be missing, not withheld."""

_SUMS_OF_EXCERPT = """
4. Everything else in the folder

    {verify} \\
      -n bwvd-sums -s {folder}/SHA256SUMS.sig < {folder}/SHA256SUMS |
      grep -x -F 'Good "bwvd-sums" signature {by}'

must print this line, whole:
Good "bwvd-sums" signature {by}

    (cd {folder} && sha256sum --ignore-missing -c SHA256SUMS)

must say OK of every file that is here.

    cut -c 67- {folder}/SHA256SUMS | LC_ALL=C sort > listed
    ls -A {folder} | grep -v -x -e SHA256SUMS -e 'SHA256SUMS\\.sig' |
      LC_ALL=C sort | LC_ALL=C comm -13 listed - | {{ ! grep . ; }}

must print nothing: no other file is in the folder."""

_NO_SUMS = """
4. Everything else in the folder

There is no SHA256SUMS: the recording was not brought to its end (see CHAIN.txt). What step 3 lists is covered by the
manifest's signatures; whatever else is in the folder is not."""

_ROW = r"""
5. Its place in the row

The camera counts its recordings without a gap, and the first record of each names the one before it{event}.

    head -n 1 {manifest} |
      grep -o -F {before}

must print this, in one line:
{before_shown}"""

_FIRST = " (number 0: there was none)"

_NEXT = r"""
next.jsonl is what the recording after this one begins with: its first record, and the signature of that.

    {{ echo '-----BEGIN SSH SIGNATURE-----'
      sed -n 2p next.jsonl | cut -d '"' -f 4 | fold -w 70
      echo '-----END SSH SIGNATURE-----'; }} > next.sig
    head -n 1 next.jsonl |
      {verify} -n bwvd-manifest -s next.sig |
      grep -x -F 'Good "bwvd-manifest" signature {by}'

must print this line, whole:
Good "bwvd-manifest" signature {by}

    head -n 1 next.jsonl | grep -o -F {next_recording}
    head -n 1 next.jsonl | grep -o -F {names_this}{digest}'"}}'

must print its id, and what it says of the one before it: this one, how it had ended by then{and_digest}."""

_NO_NEXT = """
The recording after this one is not in here ({none_after}). Ask the issuer of the camera whether there is one:
nothing that is signed says that this was the last."""

_NO_ROW = """
5. Its place in the row

This recording does not say which one came before it: its camera's software was of an earlier version. Ask the issuer of
the camera for its neighbours in the row of serial numbers."""

_DECRYPTING = """It is encrypted with age. Name the file of an identity that opens it:

    KEY=identity.txt
    mkdir -p segments
    for f in {folder}/0*.m4s.age; do
      age -d -i "$KEY" -o "segments/$(basename "$f" .age)" "$f"; done
"""

_READING = """The sealed texts, in the order of their records:

    for f in {folder}/sealed-*.json.age; do
      age -d -i "$KEY" "$f"; echo; done
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
    yield f"Verdict         {report.standing} (by bwvd; README.txt says how to check it without bwvd)"
    yield f"Key             {facts.fingerprint}"
    if facts.open is not None:
        press, before = facts.open.press, facts.open.pre_event
        clock = press.stamp.quality
        if press.stamp.uncertainty_us is not None:
            clock += f", to {press.stamp.uncertainty_us / 1000:g} ms"
        short = f", less than asked because: {before.reason}" if before.reason else ""
        yield printable(f"Device          {facts.open.device}, recording number {facts.open.serial}")
        yield printable(f"Press           {press.stamp.utc} by {press.source} (clock: {clock})")
        yield printable(f"Before it       {before.got_s:.3f} s of {before.asked_s:g} s asked{short}")
        yield printable(f"First frame     {facts.open.origin_utc}")
        yield printable(f"Encrypted to    {', '.join(facts.open.recipients) or 'nobody: stored in the clear'}")
    counts = f"{counted(report.segments, 'segment')}, {counted(report.frames, 'frame')}"
    if report.excerpt is not None:
        yield f"Excerpt         {report.excerpt}; the others are withheld"
    yield f"Length          {report.duration_s:.3f} s, {counts}"
    if facts.before is not None:
        earlier, after = facts.before, report.after
        yield printable(f"Number before   {earlier.serial} {earlier.recording} {earlier.event}".rstrip())
        yield printable(
            f"Number after    {after.serial} {after.recording}" if after else f"None after      {facts.following.why}"
        )
    for finding in report.findings:
        yield f"NOT IN ORDER    {finding.where}: {finding.what}"
    for note in report.notes:
        yield f"Note            {note.where}: {note.what}"
    yield _CHAIN_TABLE
    for signed, what in facts.signed:
        kind = signed.record.type if isinstance(signed.record, Unknown) else type(signed.record).__struct_config__.tag
        digest = signed.sha512.hex()[:16]
        yield printable(f"{signed.line:7} {signed.offset:10}  {kind!s:10} {digest}  {what}")


def readme_text(facts: Facts, tokens: Mapping[str, Sequence[str]]) -> str:
    """README.txt: indented lines are commands, to be run in order in the folder that the file lies in.

    tokens: the time-stamps that are in the proof, as of `proof_time.tokens_of`.
    """
    manifest = f"{shlex.quote(f'recordings/{facts.report.id}')}/{MANIFEST}"
    return "\n".join([*_readme_parts(facts), *time_text(manifest, tokens)]) + "\n"


def _readme_parts(facts: Facts) -> Iterator[str]:
    report = facts.report
    folder = shlex.quote(f"recordings/{report.id}")
    words: dict[str, Any] = {
        "id": printable(report.id),
        "folder": folder,
        "fingerprint": facts.fingerprint,
        "at": facts.signature_at,
        "after": facts.signature_at + 1,
        "manifest": f"{folder}/{MANIFEST}",
        "segments": report.segments,
        "these": "",
        "those": "",
        "withheld": "",
        "excerpt": "",
        "verify": _verify_command(facts),
        "by": f"for {facts.principal} with {_kind(facts)} key {facts.fingerprint}",
        "texts": facts.texts,
        "key_file": AUTHORITY_KEY if facts.certified else PUBLIC_KEY,
        "certified": f", {facts.fingerprint},\nwhich an authority has certified" if facts.certified else "",
        "authority": " authority" if facts.certified else "",
        "vouching_fingerprint": facts.vouching_fingerprint,
        "line": shlex.quote(_list_line(facts)),
    }
    yield _INTRODUCTION.format(**words)
    yield _MANIFEST.format(**words)
    if facts.chosen is not None:
        words |= _of_excerpt(facts, facts.chosen)
        yield _EXCERPT.format(**words)
    yield (_SEGMENTS if report.segments else _NO_SEGMENTS).format(**words)
    if words["texts"]:
        yield _TEXTS.format(**words)
    sums = _SUMS if facts.chosen is None else _SUMS_OF_EXCERPT
    yield (sums if SUMS in facts.names else _NO_SUMS).format(**words)
    yield from _row(facts, words)
    yield "\n6. Playing it\n"
    if not report.segments:
        yield "There is nothing to play."
        return
    if facts.encrypted:
        yield _DECRYPTING.format(**words)
    if words["texts"]:
        yield _READING.format(**words)
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


def _of_excerpt(facts: Facts, chosen: Chosen) -> dict[str, Any]:
    """What the commands need to pass over what is withheld."""
    there = facts.texts_there
    return {
        "excerpt": facts.report.excerpt,
        "segments": chosen.last - chosen.first + 1,
        "these": f"sed -n {chosen.first},{chosen.last}p | ",
        "withheld": f"; those of {facts.report.segments} that are not here are withheld",
        "texts": len(there),
        "those": f"sed -n {there[0]},{there[-1]}p | " if there else "",
    }


def _row(facts: Facts, words: dict[str, Any]) -> Iterator[str]:
    """The recordings before and after, as signed records name them."""
    before, after, said = facts.before, facts.report.after, facts.following.before
    if before is None:
        yield _NO_ROW
        return
    text = f'"before":{msgspec.json.encode(before).decode()}'
    row = {"before": shlex.quote(text), "before_shown": printable(text), "event": "" if before.serial else _FIRST}
    yield _ROW.format(**words, **row)
    if after is None or said is None:
        yield _NO_NEXT.format(none_after=printable(facts.following.why))
        return
    at_end = said.manifest_sha512 != ""
    names = msgspec.json.encode(msgspec.structs.replace(said, manifest_sha512="")).decode().removesuffix('"}')
    yield _NEXT.format(
        **words,
        next_recording=shlex.quote(f'"recording":"{after.recording}"'),
        names_this=shlex.quote(f'"before":{names}'),
        digest=f'"$(head -c {facts.end_at} {words["manifest"]} | sha512sum | cut -c 1-128)"' if at_end else "",
        and_digest=", and the SHA-512 of its whole manifest, which is that of the manifest here" if at_end else "",
    )


def _verify_command(facts: Facts) -> str:
    """The stock command, without what differs."""
    command = f"ssh-keygen -Y verify -f trusted_signers -I {shlex.quote(facts.principal)}"
    moment = parse_utc(facts.signed_at_utc)
    if facts.certified and moment is not None:
        # Certificates have periods; they are judged by the time of the recording, not of reading it.
        command += f" -O verify-time={moment:%Y%m%d%H%M%SZ}"
    return command


def _list_line(facts: Facts) -> str:
    """The line of a list of allowed signers, without its key. Raises: KeyUnusable for a name that no list can hold."""
    whole = allowed_signers_line(facts.principal, facts.vouching_key, authority=facts.certified)
    return whole.removesuffix(f" {facts.vouching_key}\n")


def _kind(facts: Facts) -> str:
    kind = _KINDS.get(facts.public_key.partition(" ")[0], "ECDSA")
    return f"{kind}-CERT" if facts.certified else kind

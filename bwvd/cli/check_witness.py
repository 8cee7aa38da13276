"""What `bwvd check` says of the time-stamp authorities that are asked for what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from bwvd.cli.finding import Finding
from bwvd.config.schema import Config


def witness_findings(config: Config, *, probe: bool) -> Iterator[Finding]:
    """Whether authorities can be asked, and with `probe` what each says. Blocking; nothing where none is configured.

    An authority that does not answer is no reason not to start: what is to be stamped waits on the flash.
    """
    witness = config.witness
    if not witness.tsa:
        return
    missing = [module for module in ("h11", "rfc3161_client") if find_spec(module) is None]
    if missing:
        yield Finding("witness", False, f"witness.tsa: {', '.join(missing)} not installed: pip install 'bwvd[witness]'")
        return
    from bwvd.evidence.keys.rfc3161 import CertificatesUnusable, load_certificates

    roots = None
    if witness.certs:
        try:
            roots = load_certificates(witness.certs)
        except CertificatesUnusable as error:
            yield Finding("witness", False, f"witness.certs: {error}")
            return
    else:
        yield Finding("witness", True, "witness.certs: who signs time-stamps is not judged here", advice=True)
    if not probe:
        yield Finding("witness", True, f"witness.tsa: {', '.join(witness.tsa)}")
        return
    import trio

    from bwvd.clock import SystemClock
    from bwvd.evidence.keys.rfc3161 import TokenBad
    from bwvd.offload.authority import HttpAuthority, utc_of

    for url in witness.tsa:
        try:
            _, token = trio.run(HttpAuthority(url, roots, SystemClock()).stamp, b"bwvd check\n")
        except TokenBad as error:
            yield Finding("witness", True, f"witness.tsa: {url}: not now: {error}", advice=True)
        else:
            yield Finding("witness", True, f"witness.tsa: {url}: says {utc_of(token)}, {token.by}")

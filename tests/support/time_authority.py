"""A time-stamp authority of the tests: `openssl ts -reply` behind an HTTP server, with certificates of its own."""

from __future__ import annotations

import datetime
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.stock import need

DAY = datetime.timedelta(days=1)
ANSWER = "application/timestamp-reply"

# `certs` is left out: with it openssl sends the chain in an order of its own; -chain says which certificates it sends.
_CONFIGURATION = """\
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**(dict.fromkeys(names, False) | allowed))


@dataclass
class Authority:
    """One authority: a root, an intermediate certificate, and its own.

    Args:
        valid: of its own certificate, in days from now.
        for_time: whether that is for time-stamps; openssl makes none without, so such a one is exchanged behind it.
    """

    folder: Path
    name: str = "time authority of the tests"
    valid: tuple[int, int] = (-10, 100)
    for_time: bool = True
    asked: int = 0
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        need("openssl")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = self.folder / "root.pem"
        root_key, chain_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        key = rsa.generate_private_key(65_537, 2048)
        root, chain, own = f"root of {self.name}", f"intermediate of {self.name}", self.name
        self._write("root.pem", self._certificate(root, root, root_key.public_key(), root_key, ca=True))
        self._write("chain.pem", self._certificate(chain, root, chain_key.public_key(), root_key, ca=True))
        self._write("own.pem", self._certificate(own, chain, key.public_key(), chain_key, ca=False))
        (self.folder / "own.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (self.folder / "serial").write_text("01\n")
        (self.folder / "ts.cnf").write_text(_CONFIGURATION.format(folder=self.folder))

    def reply(self, request: bytes) -> bytes:
        """The answer to a request, by openssl."""
        self.asked += 1
        question, answer = self.folder / f"{self.asked}.tsq", self.folder / f"{self.asked}.tsr"
        question.write_bytes(request)
        command = ["openssl", "ts", "-reply", "-config", "ts.cnf", "-queryfile", question.name, "-signer", "own.pem"]
        command += ["-inkey", "own.key", "-chain", "chain.pem", "-out", answer.name]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return answer.read_bytes()

    def _certificate(
        self,
        subject: str,
        issuer: str,
        public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        signing: ec.EllipticCurvePrivateKey,
        *,
        ca: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        first, last = (-1000, 1000) if ca else self.valid
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first * DAY)
            .not_valid_after(now + last * DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        )
        if ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        else:
            builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        if not ca and self.for_time:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
            builder = builder.add_extension(purpose, critical=True)
        return builder.sign(signing, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        (self.folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


Answer = Callable[[bytes], tuple[int, str, bytes]]
"""What a server says to a request: its status, its content type, its body."""


@dataclass
class TimeServer:
    """An authority's HTTP server on 127.0.0.1; `answer` may be exchanged while it runs."""

    answer: Answer
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)  # what else it was asked for, by path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tsa"


def honest(authority: Authority) -> Answer:
    return lambda request: (200, ANSWER, authority.reply(request))


@contextmanager
def time_server(answer: Answer) -> Iterator[TimeServer]:
    """Serve in a thread, until the body ends."""
    told = TimeServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["content-length"]))
            told.requests.append(request)
            status, kind, body = told.answer(request)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            told.gets.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815  the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, name="time authority")
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()

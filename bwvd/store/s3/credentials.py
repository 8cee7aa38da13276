"""Access keys: a file in AWS' shared credentials format, or the environment.

    [default]
    aws_access_key_id = AKIA…
    aws_secret_access_key = …
    aws_session_token = …            (of a temporary key)
    ca_bundle = /etc/ssl/our-ca.pem  (certificates that sign the endpoint's; without it the system's)

Of a file the profile `default` is used, or the one that AWS_PROFILE names. Nobody else may be able to read it. It
is read again when a store refuses the key.
"""

from __future__ import annotations

import configparser
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bwvd.evidence.flash.regular_file import read_regular
from bwvd.store.errors import AddressWrong
from bwvd.store.s3.sigv4 import AccessKey
from bwvd.text import one_line

MOST_BYTES = 65_536

_NAMES = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "ca_bundle")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a file or the environment says."""

    key: AccessKey
    ca_bundle: str = ""  # path of a file


def read_credentials(path: str, environment: Mapping[str, str] = os.environ) -> Credentials:
    """The credentials in a file; with "" for `path` those of the environment. Blocking.

    Raises: AddressWrong, one line without the secret.
    """
    if not path:
        return _checked("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", environment, str.upper)
    try:
        mode = Path(path).stat().st_mode
        text = read_regular(path, MOST_BYTES, follow=True).decode()
    except (OSError, ValueError) as error:
        raise AddressWrong(f"{path}: {one_line(getattr(error, 'strerror', None) or 'not UTF-8')}") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise AddressWrong(f"{path}: holds a secret, and everybody may read it; chmod o-rwx it")
    profile = environment.get("AWS_PROFILE", "") or "default"
    # No interpolation: a secret may hold a %. default_section: AWS' [default] is a profile like the others.
    parser = configparser.ConfigParser(interpolation=None, default_section="", inline_comment_prefixes=None)
    try:
        parser.read_string(text)
        section = parser[profile]
    except KeyError:
        raise AddressWrong(f"{path}: has no profile [{one_line(profile)}]") from None
    except configparser.Error as error:
        # Only the line's number: the error's own text quotes the line, which may be the secret.
        lines = getattr(error, "errors", None) or [(getattr(error, "lineno", None), "")]
        line = lines[0][0]
        raise AddressWrong(f"{path}: not in AWS' shared format" + (f", line {line}" if line else "")) from None
    return _checked(f"{path} [{one_line(profile)}]", section, str)


def _checked(where: str, values: Mapping[str, str], spelled: Callable[[str], str]) -> Credentials:
    key_id, secret, token, ca_bundle = (values.get(spelled(name), "").strip() for name in _NAMES)
    for name, value in zip(_NAMES, (key_id, secret), strict=False):
        if not value:
            raise AddressWrong(f"{where}: no {spelled(name)}")
    if not all(value.isascii() and value.isprintable() and " " not in value for value in (key_id, secret, token)):
        raise AddressWrong(f"{where}: a key is of printable ASCII characters")
    return Credentials(AccessKey(key_id, secret, token), ca_bundle)

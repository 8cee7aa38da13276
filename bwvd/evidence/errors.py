"""Errors of keys and evidence. The text of each is one line, shown to a person as it is."""

from __future__ import annotations


class EvidenceError(Exception):
    """Base of all of them. The text is one line that names the file, the key or the place."""


class KeyUnusable(EvidenceError):
    """A private key, public key or certificate can't be used."""


class SignatureBad(EvidenceError):
    """A signature is malformed, is for something else, or does not match."""


class SignersUnusable(EvidenceError):
    """An allowed_signers file can't be read."""


class RecipientsUnusable(EvidenceError):
    """`keys.recipients` can't be used."""


class IdentityUnusable(EvidenceError):
    """A decryption identity can't be read, or opens nothing."""


class ExportRefused(EvidenceError):
    """An export or a proof can't or must not be made; nothing was written."""

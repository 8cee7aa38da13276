"""Texts of the page, in English and German, from one file."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

LANGUAGES = ("en", "de")


@functools.cache
def texts(language: str) -> dict[str, str]:
    """Each text by its name: `section.name`."""
    with (resources.files("bwvd.desk") / "texts.toml").open("rb") as file:
        document = tomllib.load(file)
    return {f"{section}.{name}": text[language] for section, names in document.items() for name, text in names.items()}


def language_of(accepted: str, chosen: str = "") -> str:
    """The language for a browser that accepts these (`Accept-Language`); `chosen` is what a person has picked."""
    if chosen in LANGUAGES:
        return chosen
    for one in accepted.split(","):
        tag = one.split(";")[0].strip().lower()[:2]
        if tag in LANGUAGES:
            return tag
    return LANGUAGES[0]

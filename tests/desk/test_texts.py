"""Texts of the page: both languages say the same things, and whatever the modules ask for is there."""

from __future__ import annotations

import re
import string
from importlib import resources

from bwvd.desk.texts import LANGUAGES, texts

PAGES = resources.files("bwvd.desk") / "pages"
STATIC = resources.files("bwvd.desk") / "static"


def test_both_languages_put_in_the_same() -> None:
    english, german = (texts(language) for language in LANGUAGES)
    assert english.keys() == german.keys()
    for name, text in english.items():
        assert _parts(text) == _parts(german[name]), name


def test_the_texts_that_pages_name_are_there() -> None:
    known = texts("en")
    for page in PAGES.iterdir():
        for name in re.findall(r"""\bt\("([a-z_.]+)"\s*[,)]""", page.read_text()):
            assert name in known, f"{page.name}: {name}"


def test_the_texts_that_modules_name_are_there() -> None:
    known = texts("en")
    names = {name.partition(".")[2] for name in known}
    for module in STATIC.iterdir():
        if module.name.endswith(".js"):
            for name in re.findall(r"""\b(?:t|told|ofChain|ofVerdict)\("([a-z_]+)"[,)]""", module.read_text()):
                assert name in names, f"{module.name}: {name}"


def _parts(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

"""Pages: a template with what stands in it, as an answer. All that is put in is text, whatever it holds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from bwvd.desk.static_files import address
from bwvd.desk.texts import language_of, texts

LANGUAGE_COOKIE = "bwvd-language"


@functools.cache
def environment() -> Environment:
    """Escapes everywhere, also in a template of any name; what a template names and nobody gives is an error."""
    return Environment(
        loader=PackageLoader("bwvd.desk", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def language_for(request: Request) -> str:
    return language_of(request.headers.get("accept-language", ""), request.cookies.get(LANGUAGE_COOKIE, ""))


def translator(request: Request) -> Callable[..., str]:
    """The texts in the browser's language: `t("section.name", part=…)`; a part stands there as text."""
    known = texts(language_for(request))

    def t(name: str, **parts: object) -> str:
        return known[name].format_map({key: str(part) for key, part in parts.items()}) if parts else known[name]

    return t


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page of a template.

    It has `t("section.name", key=…)`, `words("section")`, `language`, `session`, `desk`, `static` beside `values`.
    """
    language = language_for(request)

    def words(*sections: str) -> dict[str, str]:
        """The texts of these sections, for the page's modules."""
        return {name: text for name, text in texts(language).items() if name.partition(".")[0] in sections}

    content = (
        environment()
        .get_template(template)
        .render(
            t=translator(request),
            words=words,
            language=language,
            session=getattr(request.state, "session", None),
            desk=request.app.state.desk,
            path=request.url.path,
            static=address(),
            **values,
        )
    )
    return HTMLResponse(content, status)

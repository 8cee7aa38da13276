"""Numbers in the addresses of the page: `{name:number}` of a route. Importing registers them.

Starlette's own `int` takes digits without an end, and Python makes no number of more than 4300.
"""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class NumberConvertor(Convertor[int]):
    """A number of at most twelve digits."""

    regex = "[0-9]{1,12}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", NumberConvertor())

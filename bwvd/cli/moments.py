"""Options that take a time: one form for all commands, and an error that names the option."""

from __future__ import annotations

import click

from bwvd.evidence.export.stretch import Given
from bwvd.evidence.format.moment import NoMoment, parse_moment


class MomentOption(click.ParamType[Given]):
    """A moment of a recording: seconds since its first frame, `mm:ss`, `hh:mm:ss`, or UTC."""

    name = "time"

    def convert(self, value: str | Given, param: click.Parameter | None, ctx: click.Context | None) -> Given:
        """Raises: click.BadParameter, which ends the command with exit code 2."""
        if isinstance(value, Given):
            return value
        try:
            return Given(param.opts[0] if param else "", value, parse_moment(value))
        except NoMoment as error:
            self.fail(f"{value[:80]!r}: {error}", param, ctx)


MOMENT = MomentOption()

"""Options that take a time: one form for all commands, and an error that names the option."""

from __future__ import annotations

import datetime

import click

from bwvd.evidence.format.moment import Given, NoMoment, parse_day, parse_moment, parse_time_of_day


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


class TimeOfDayOption(click.ParamType[datetime.datetime]):
    """A time of day in UTC, or a day: as `--from` its beginning, as `--to` its end."""

    name = "utc"

    def __init__(self, *, end: bool) -> None:
        self._end = end

    def convert(
        self, value: str | datetime.datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime.datetime:
        """Raises: click.BadParameter, which ends the command with exit code 2."""
        if isinstance(value, datetime.datetime):
            return value
        try:
            day = parse_day(value)
            if day is None:
                return parse_time_of_day(value).utc
            return day + datetime.timedelta(days=1) if self._end else day
        except (NoMoment, OverflowError) as error:
            self.fail(f"{value[:80]!r}: {error}", param, ctx)


MOMENT = MomentOption()
FROM_TIME = TimeOfDayOption(end=False)
TO_TIME = TimeOfDayOption(end=True)

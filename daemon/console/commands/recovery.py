"""Calls: `recovery manual`, to find out now what was missed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from daemon.console.registry import Command, CommandError, Result, SessionInfo, first_of
from daemon.console.render import table

_AGO = re.compile(r"(\d{1,5})([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FORMS = ("%d/%m/%Y %H:%M", "%d/%m/%Y", "%H:%M")


def recovery_commands(
    *,
    recover: Callable[[float | None], Mapping[str, str]],
    timezone: tzinfo,
    now: Callable[[], float],
) -> tuple[Command, ...]:
    """`recovery`. `recover(since)` asks every Asterisk and gives a sentence by its name."""

    def recovery(args: Sequence[str], _info: SessionInfo) -> Result:
        if not args or args[0].lower() != "manual":
            raise command.wrong_usage()
        since = moment(" ".join(args[1:]), now(), timezone) if len(args) > 1 else None
        found = recover(since)
        text = table(list(found.items())) or "No Asterisk is configured."
        return Result({"since": since, "asterisk": dict(found)}, text)

    command = Command(
        name="recovery",
        group="Calls",
        summary="asks Asterisk now for what was missed",
        usage=("recovery manual [SINCE]",),
        examples=("recovery manual", "recovery manual 2h", "recovery manual 27/10/2025 08:00"),
        handler=recovery,
        complete=first_of(("manual",)),
        mutating=True,
    )
    return (command,)


def moment(text: str, now: float, timezone: tzinfo) -> float:
    """SINCE as people write it, in seconds since the epoch.

    30m, 2h, 1d ago; 08:00 of today; 27/10/2025; 27/10/2025 08:00; ISO 8601. Raises CommandError.
    """
    here = datetime.fromtimestamp(now, timezone)
    ago = _AGO.match(text)
    if ago:
        return (here - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
    for form in _FORMS:
        try:
            read = datetime.strptime(text, form).replace(tzinfo=timezone)
        except ValueError:
            continue
        return (
            read.replace(year=here.year, month=here.month, day=here.day) if form == "%H:%M" else read
        ).timestamp()
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(
            "usage", f"SINCE is 2h (ago), 08:00 (today) or 27/10/2025 08:00, not {text!r}"
        ) from error
    return (read if read.tzinfo else read.replace(tzinfo=timezone)).timestamp()

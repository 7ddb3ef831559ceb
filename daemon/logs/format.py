"""How a log record looks as one line. Pure.

Two forms, one event per line::

    ts=2025-10-27T08:00:00.123-03:00 level=INFO logger=arimonitor.ari message="connected to voip3"
    {"ts": "2025-10-27T08:00:00.123-03:00", "level": "INFO", "logger": "arimonitor.ari", "message": ...}

In the first, values are bare words or quoted with `\\"`, `\\\\`, `\\n`, `\\r`,
`\\t` and `\\xNN` as escapes; `exception` holds a traceback; `data` (a record's
`extra={"data": text}`, the JSON of an event) is always the last key and runs,
unquoted, to the end of the line.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from datetime import datetime, tzinfo

LINE_LIMIT = 256 * 1024
"""Characters of one line; what is longer is cut, and says so."""

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Control characters, the other line ends of Unicode, and lone surrogates (undecodable bytes).
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]')
_LINE_ENDS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    known = _ESCAPES.get(char)
    if known is not None:
        return known
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def escape(text: str) -> str:
    """The inside of a quoted value."""
    return _UNSAFE.sub(_escaped, text)


def timestamp(seconds: float, timezone: tzinfo | None) -> str:
    """ISO 8601 with milliseconds and zone; None is the machine's own zone."""
    moment = datetime.fromtimestamp(seconds, timezone)
    return (moment if timezone is not None else moment.astimezone()).isoformat(timespec="milliseconds")


def parts(record: logging.LogRecord) -> tuple[str, str, str]:
    """A record's message, traceback and data; a call with wrong arguments is shown as it was written."""
    try:
        message = record.getMessage()
    except Exception as error:  # noqa: BLE001 - a wrong log call must not end what logs
        message = f"{record.msg!s} (the arguments {record.args!r} do not fit: {type(error).__name__})"
    trace = ""
    if record.exc_info and record.exc_info[0] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    elif record.exc_text:
        trace = record.exc_text
    if record.stack_info:
        trace = f"{trace}\n{record.stack_info}" if trace else record.stack_info
    data = getattr(record, "data", "")
    if isinstance(data, bytes):
        data = data.decode("utf-8", "replace")
    return message, trace, str(data)


def logfmt(ts: str, level: str, logger: str, body: tuple[str, str, str]) -> str:
    """The line as `key=value`, without its newline."""
    message, trace, data = body
    rest = [f'message="{escape(message)}"']
    if trace:
        rest.append(f'exception="{escape(trace)}"')
    if data:
        rest.append(f"data={_LINE_ENDS.sub(' ', data)}")
    return f"ts={ts} level={level} logger={_bare(logger)} {cut(' '.join(rest))}"


def json_line(ts: str, level: str, logger: str, body: tuple[str, str, str]) -> str:
    """The same as one JSON object; `data` that is JSON becomes a part of it."""
    message, trace, data = body
    fields: dict[str, object] = {"ts": ts, "level": level, "logger": logger, "message": message}
    if trace:
        fields["exception"] = trace
    if data:
        try:
            fields["data"] = json.loads(data)
        except ValueError:
            fields["data"] = data
    line = json.dumps(fields, ensure_ascii=False)
    if len(line) > LINE_LIMIT:
        head = {"ts": ts, "level": level, "logger": logger, "message": message[: LINE_LIMIT // 8]}
        line = json.dumps(head | {"cut": len(line)}, ensure_ascii=False)
    return _UNSAFE_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", line)


# JSON strings may hold these unescaped, but they end lines, or can't be written as UTF-8.
_UNSAFE_JSON = re.compile(r"[\x7f\x85\u2028\u2029\ud800-\udfff]")


def cut(text: str) -> str:
    """No longer than the limit."""
    if len(text) <= LINE_LIMIT:
        return text
    return f"{text[:LINE_LIMIT]}... ({len(text) - LINE_LIMIT} characters cut)"


def journal_priority(level: int) -> int:
    """The syslog priority of a level, for the journal's `<N>` prefix (sd-daemon(3))."""
    for floor, priority in (
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
    ):
        if level >= floor:
            return priority
    return 7


def _bare(name: str) -> str:
    return name if name and not re.search(r'[\s"=\\]', name) else f'"{escape(name)}"'

"""The JSON of a request's file: a record as its file, a dropped file as a request. Pure.

The form is that of interfaces 5; the old system's files have less in them.
Source of the old form: docs/requests.md, "Files dropped by hand".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, get_args

import msgspec

from daemon.jobs import policy
from daemon.jobs.model import (
    Command,
    ExtensionMoved,
    Failure,
    IpChecked,
    NothingFound,
    Record,
    RecordingsSent,
    Request,
    State,
)

MAX_BYTES = 64 * 1024
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(
    rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?=.{{1,190}}\Z)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
)
_STATUS = {"pending": "pending", "processing": "processing", "completed": "completed", "failed": "failed"}
_BY_KEY: Mapping[str, Command] = {"ramais": "RAMAIS", "ip": "CHECKIP", "ramal": "MACCHANGE"}
_TYPED = {
    "RAMAIS": (("ramais", "RAMAIS"), ("inicio", "INICIO"), ("fim", "FIM")),
    "CHECKIP": (("ip", "CHECKIP"),),
    "MACCHANGE": (("ramal", "MACCHANGE"), ("mac_atual", "MACATUAL"), ("mac_futuro", "MACFUTURO")),
}


class NotARequest(Exception):
    """A dropped file that can't be used; the text says why and what would be right."""


def encode(record: Record, zone: tzinfo, *, status: str = "", brought_by: str = "") -> bytes:
    """The file of a record: UTF-8, one object, times in ISO 8601 in the node's time zone.

    `status`: another than the record's. `brought_by`: the node that puts it into another's queue.
    """
    request = record.request
    received = request.received.timestamp() if request.received is not None else record.accepted_at
    data = {
        "request_id": request.request_id,
        "command": request.command,
        "from_email": request.from_email,
        "parameters": request.parameters,
        "audios_from": request.audios_from,
        "server": request.server,
        "message_id": request.message_id,
        "references": request.references,
        "subject": request.subject,
        "language": request.language,
        "accepted_by": request.accepted_by,
        "status": status or policy.folder_of(record),
        "tries": record.attempt,
        "owner": record.owner,
        "timestamp_received": _moment(received, zone),
        "timestamp_queued": _moment(record.queued_at, zone),
        "timestamp_processing": _moment(record.started_at, zone),
        "timestamp_finished": _moment(record.finished_at, zone),
        "result": _result(record),
        **({"brought_by": brought_by} if brought_by else {}),
    }
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()


def pending(request: Request, queued: float, zone: tzinfo) -> bytes:
    """The file of a request that no daemon knows yet (`arimonitor request`)."""
    return encode(
        Record(request=request, state="accepted", version=0, queued_at=queued, accepted_at=queued), zone
    )


def decode(data: bytes, stem: str) -> dict[str, Any]:
    """The object in a dropped file, its id checked (`stem`, the file's name, where it has none).

    Raises NotARequest.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotARequest("it is not UTF-8: save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise NotARequest(f"it is no JSON: {str(error)[:200]}") from error
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # "\\udcff" is JSON, and no text that can be kept
        raise NotARequest("it has half a character in it: write it as UTF-8") from error
    if not isinstance(value, dict):
        raise NotARequest('it is no JSON object: { "from_email": ..., "parameters": {...} } is right')
    value.setdefault("request_id", stem)
    if not isinstance(value["request_id"], str) or not _ID.fullmatch(value["request_id"]):
        raise NotARequest("request_id must be 1 to 80 letters, digits, _ and -")
    return value


def record_of(data: bytes, folder: policy.Folder) -> Record | None:
    """A record again from the file that a node wrote; None: it is no such file.

    What the file does not have (outcome, mail, which mails were sent) is not in the record either. One that
    was begun is like one that was taken over: what was done is looked for before it is done again.
    """
    try:
        value = json.loads(data)
        request = msgspec.convert(value, Request)
        received, started = _when(value.get("timestamp_received")), _when(value.get("timestamp_processing"))
        queued, finished = _when(value.get("timestamp_queued")), _when(value.get("timestamp_finished"))
        owner, tries, result = value["owner"], int(value["tries"]), value.get("result") or {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, msgspec.MsgspecError):
        return None
    if not isinstance(owner, str) or not isinstance(result, dict) or not _ID.fullmatch(request.request_id):
        return None
    state: State = "assigned" if owner else "accepted"
    failure = None
    if folder in ("completed", "failed"):
        state = "done" if folder == "completed" else "failed"
    if folder == "failed":
        failure = Failure(str(result.get("reason") or "impossible"))
    seconds = [moment.timestamp() if moment else 0.0 for moment in (received, queued, started, finished)]
    return Record(
        request=msgspec.structs.replace(request, received=received),
        state=state,
        version=0,
        owner=owner,
        attempt=tries,
        accepted_at=seconds[0],
        changed_at=max(seconds),
        queued_at=seconds[1],
        started_at=seconds[2],
        finished_at=seconds[3],
        failure=failure,
        note=str(result.get("message") or "") if failure else "",
        source=policy.REBUILT,
        told=policy.TOLD_BEFORE,
        taken_from=owner if folder == "processing" else "",
    )


def written_by(data: bytes, node: str) -> str:
    """The node that wrote this file: another that brought it, or `node` itself; "": a person."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, dict):
        return ""
    brought = value.get("brought_by")
    if isinstance(brought, str) and brought:
        return brought
    owner = value.get("owner") or value.get("accepted_by")  # nobody's yet: whoever took it in wrote it
    return node if (value.get("status"), owner) == ("pending", node) else ""


def subject_of(value: Mapping[str, Any]) -> tuple[str, str]:
    """Its sender, and the subject that a mail with the same wish would have. Raises NotARequest.

    The subject is then read by the grammar of mails: one set of rules for both.
    """
    sender = value.get("from_email")
    if not isinstance(sender, str) or not _ADDRESS.fullmatch(sender):
        raise NotARequest('from_email must be one mail address, such as "person@example.com"')
    parameters = value.get("parameters")
    if not isinstance(parameters, dict):
        raise NotARequest(
            'parameters must be an object, such as {"ramais": "1121", "inicio": ..., "fim": ...}'
        )
    command = value.get("command") or next((c for key, c in _BY_KEY.items() if key in parameters), "")
    command = command.upper() if isinstance(command, str) else ""
    if command not in _TYPED or command not in get_args(Command):
        raise NotARequest("command must be RAMAIS, CHECKIP or MACCHANGE")
    words = [f"{key}={_word(parameters, name)}" for name, key in _TYPED[command]]
    for key in ("audios_from", "server"):
        given = value.get(key) or parameters.get(key)
        if given and not (key == "audios_from" and (value.get("server") or command != "RAMAIS")):
            words.append(f"{key.upper()}={_word({key: given}, key)}")
    return sender.lower(), " ".join(words)


def request_of(
    value: Mapping[str, Any], sender: str, command: Command, parameters: Mapping[str, str], now: float
) -> Request:
    """The request, its missing fields filled in. Texts that are kept are cut and made one line."""
    email = parameters.get("email") or (value["parameters"].get("email") if command == "RAMAIS" else None)
    if email is not None and (not isinstance(email, str) or not _ADDRESS.fullmatch(email)):
        raise NotARequest("parameters.email must be one mail address")
    filled = {**parameters, "email": email or sender} if command == "RAMAIS" else dict(parameters)
    return Request(
        request_id=value["request_id"],
        command=command,
        from_email=sender,
        parameters=filled,
        audios_from=str(value.get("audios_from") or parameters.get("audios_from") or ""),
        server=str(value.get("server") or parameters.get("server") or ""),
        message_id=_header(value.get("message_id")),
        references=_header(value.get("references")),
        subject=_line(value.get("subject")),
        language="en" if value.get("language") == "en" else "pt_BR",
        accepted_by="",
        received=_when(value.get("timestamp_received")) or datetime.fromtimestamp(now, UTC),
    )


def _word(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        value = ",".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise NotARequest(f"{name} is missing, or no text")
    if "=" in value or not value.isprintable() or len(value) > 2000:
        raise NotARequest(f"{name} has characters that no {name} has")
    return value


def _result(record: Record) -> dict[str, object] | None:
    if record.failure is not None:
        return {
            "success": False,
            "message": record.note or record.failure.code,
            "reason": record.failure.code,
        }
    match record.outcome:
        case None:
            return {"success": False, "message": record.note} if record.note else None
        case RecordingsSent(rows=rows, left_out=left_out):
            return {"success": True, "message": f"{len(rows)} recordings sent, {len(left_out)} left out"}
        case NothingFound():
            return {"success": True, "message": "no recordings found"}
        case IpChecked(jails=jails):
            return {"success": True, "message": f"{sum(jail.lifted for jail in jails)} bans lifted"}
        case ExtensionMoved(mac_new=mac):
            return {"success": True, "message": f"moved to {mac}"}


def _moment(seconds: float, zone: tzinfo) -> str | None:
    return datetime.fromtimestamp(seconds, zone).isoformat(timespec="seconds") if seconds else None


def _when(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None


def _header(value: object) -> str:
    """A Message-ID or References that may go into an answer's header; else nothing."""
    fits = isinstance(value, str) and len(value) <= 4000 and re.fullmatch(r"(<[!-;=?-~]+>[ ]?)*", value)
    return str(value) if fits else ""


def _line(value: object) -> str:
    return "".join(c for c in value[:300] if c.isprintable()) if isinstance(value, str) else ""

"""The request's file: its form, and what people drop by hand."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from daemon.jobs import requestfile
from daemon.jobs.model import Failure, NothingFound, Record, Request
from daemon.jobs.requestfile import NotARequest

ZONE = timezone(timedelta(hours=-3))
REQUEST = Request(
    request_id="20251027_110000_1a2b3c4d",
    command="RAMAIS",
    from_email="person@example.com",
    parameters={
        "ramais": "1121,1122",
        "inicio": "27/10/2025 08:00",
        "fim": "28/10/2025 18:00",
        "email": "person@example.com",
    },
    audios_from="audio",
    server="gv1p",
    message_id="<one@example.com>",
    accepted_by="AUDIO2",
    received=datetime(2025, 10, 27, 11, 0, tzinfo=UTC),
)


def test_the_form_of_interfaces() -> None:
    made = Record(request=REQUEST, state="assigned", version=2, owner="AUDIO", queued_at=1761562801.0)
    value = json.loads(requestfile.encode(made, ZONE))
    assert value == {
        "request_id": "20251027_110000_1a2b3c4d",
        "command": "RAMAIS",
        "from_email": "person@example.com",
        "parameters": REQUEST.parameters,
        "audios_from": "audio",
        "server": "gv1p",
        "message_id": "<one@example.com>",
        "references": "",
        "subject": "",
        "language": "pt_BR",
        "accepted_by": "AUDIO2",
        "status": "pending",
        "tries": 0,
        "owner": "AUDIO",
        "timestamp_received": "2025-10-27T08:00:00-03:00",
        "timestamp_queued": "2025-10-27T08:00:01-03:00",
        "timestamp_processing": None,
        "timestamp_finished": None,
        "result": None,
    }


def test_the_result() -> None:
    done = Record(request=REQUEST, state="done", version=9, outcome=NothingFound())
    assert json.loads(requestfile.encode(done, ZONE))["result"] == {
        "success": True,
        "message": "no recordings found",
    }
    failed = Record(request=REQUEST, state="failed", version=9, failure=Failure("cancelled"))
    value = json.loads(requestfile.encode(failed, ZONE))
    assert (value["status"], value["result"]["success"], value["result"]["reason"]) == (
        "failed",
        False,
        "cancelled",
    )


LEGACY = {
    "request_id": "test_20251111_001",
    "from_email": "person@example.com",
    "parameters": {
        "ramais": "1121,1122,1123",
        "inicio": "29/09/2025 00:00",
        "fim": "27/10/2025 23:59",
        "email": "person@example.com",
    },
}


def test_the_old_form() -> None:
    value = requestfile.decode(json.dumps(LEGACY).encode(), "x")
    assert requestfile.subject_of(value) == (
        "person@example.com",
        "RAMAIS=1121,1122,1123 INICIO=29/09/2025 00:00 FIM=27/10/2025 23:59",
    )
    request = requestfile.request_of(value, "person@example.com", "RAMAIS", LEGACY["parameters"], 0.0)  # type: ignore[arg-type]
    assert (request.request_id, request.message_id, request.accepted_by) == ("test_20251111_001", "", "")


def test_without_an_id_the_name_is_it() -> None:
    assert requestfile.decode(b"{}", "my-file")["request_id"] == "my-file"


def test_our_own_file_is_understood() -> None:
    value = requestfile.decode(requestfile.pending(REQUEST, 1761562801.0, ZONE), "x")
    assert requestfile.subject_of(value)[1] == (
        "RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00 SERVER=gv1p"
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[1]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"request_id": "../../etc/passwd"}', "request_id"),
        (b'{"request_id": 7}', "request_id"),
        (b'{"request_id": ""}', "request_id"),
        (b'{"request_id": "a\\nb"}', "request_id"),
    ],
)
def test_what_is_no_object(data: bytes, says: str) -> None:
    with pytest.raises(NotARequest, match=says):
        requestfile.decode(data, "name")


@pytest.mark.parametrize(
    "change",
    [
        {"from_email": None},
        {"from_email": "person@example.com, other@example.com"},
        {"from_email": "a@example.com\nBcc: b@example.com"},
        {"parameters": []},
        {"parameters": {}},
        {"command": "RM"},
        {"command": ""},
        {"parameters": {**LEGACY["parameters"], "ramais": "1121 FIM=01/01/2020 00:00"}},  # type: ignore[dict-item]
        {"parameters": {**LEGACY["parameters"], "inicio": None}},  # type: ignore[dict-item]
        {"parameters": {**LEGACY["parameters"], "fim": "27/10/2025\r\n23:59"}},  # type: ignore[dict-item]
    ],
)
def test_what_is_no_request(change: dict[str, Any]) -> None:
    value = {**LEGACY, **change}
    if change.get("command") == "":
        value["parameters"] = {"nothing": "1"}
    with pytest.raises(NotARequest):
        requestfile.subject_of(value)


def test_headers_of_a_dropped_file_are_checked() -> None:
    value = {**LEGACY, "message_id": "<a@b>\r\nBcc: x@example.com", "references": "<a@b> <c@d>"}
    request = requestfile.request_of(value, "person@example.com", "RAMAIS", LEGACY["parameters"], 0.0)  # type: ignore[arg-type]
    assert (request.message_id, request.references) == ("", "<a@b> <c@d>")


@pytest.mark.parametrize(
    "sender",
    ["../x@example.com", "a..b@example.com", "\u202ex@example.com", "$(x)@example.com", "a@b@example.com",
     f"{'a' * 65}@example.com", "a@", "@example.com", "a@-.", "ação@example.com"],
)  # fmt: skip
def test_an_address_that_no_mail_can_go_to(sender: str) -> None:
    with pytest.raises(NotARequest, match="from_email"):
        requestfile.subject_of({"from_email": sender, "parameters": {"ip": "203.0.113.7"}})


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(NotARequest, match="half a character"):
        requestfile.decode(rb'{"from_email": "a@example.com", "message_id": "\udcff"}', "x")


def test_a_record_again_from_its_file() -> None:
    request = Request(
        "20251027_110000_1a2b3c4d", "RAMAIS", "person@example.com", {"ramais": "1121"},
        audios_from="audio", server="gv1p", message_id="<a@example.com>", references="<b@example.com>",
        subject="RAMAIS=1121", language="en", accepted_by="AUDIO2",
        received=datetime.fromtimestamp(1_761_562_800, UTC),
    )  # fmt: skip
    for state, folder, becomes, failure in (
        ("accepted", "pending", "accepted", None),
        ("assigned", "pending", "assigned", None),
        ("running", "processing", "assigned", None),
        ("replying", "processing", "assigned", None),
        ("done", "completed", "done", None),
        ("failed", "failed", "failed", Failure("out-of-tries")),
    ):
        record = Record(
            request=request, state=state, version=7, attempt=2,  # type: ignore[arg-type]
            owner="" if state == "accepted" else "AUDIO", failure=failure, note="why" if failure else "",
            accepted_at=1_761_562_900.0, queued_at=1_761_562_901.0,
        )  # fmt: skip
        again = requestfile.record_of(requestfile.encode(record, UTC), folder)  # type: ignore[arg-type]
        assert again is not None
        assert (again.state, again.owner, again.attempt) == (becomes, record.owner, 2)
        assert (again.failure, again.note, again.source) == (failure, record.note, "rebuilt")
        assert again.queued_at == record.queued_at
        assert again.request == request


NOT_OURS = [
    b"",
    b"[]",
    b"\xff",
    b'{"request_id": "a"}',
    b'{"request_id": 1, "owner": "A"}',
    b'{"request_id": "../a", "command": "RAMAIS", "from_email": "a@example.com",'
    b' "parameters": {}, "owner": "A", "tries": 0}',
]


@pytest.mark.parametrize("data", NOT_OURS)
def test_a_file_that_no_node_wrote_makes_no_record(data: bytes) -> None:
    assert requestfile.record_of(data, "pending") is None


def test_who_wrote_it() -> None:
    record = Record(
        request=Request("a", "RAMAIS", "p@example.com", {}), state="assigned", version=1, owner="AUDIO"
    )
    done = msgspec.structs.replace(record, state="done")
    assert requestfile.written_by(requestfile.encode(record, UTC), "AUDIO") == "AUDIO"
    assert requestfile.written_by(requestfile.encode(record, UTC, brought_by="AUDIO2"), "AUDIO") == "AUDIO2"
    assert requestfile.written_by(requestfile.encode(done, UTC), "AUDIO") == "", "a person has copied it"
    assert requestfile.written_by(requestfile.encode(record, UTC), "AUDIO2") == ""
    assert requestfile.written_by(b"[", "AUDIO") == requestfile.written_by(b"[]", "AUDIO") == ""

"""Loading the definition files of one Asterisk, and reloads that fail and keep the old tables."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from daemon.directory.loader import DirectoryHolder, load
from daemon.errors import PermanentError, TransientError

CLIENTS = "[101]\nname=A\nmq=main\n"
ENDPOINTS = "#include a ; Endpoint:1013010 CLI:101\n#include b ; Endpoint:1013015 CLI:101\n"
SERVERS = "[main]\nhost=mq.example.com\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "__CLIENTES__.DEF").write_text(CLIENTS)
    (tmp_path / "endpoints_pjsip.def").write_text(ENDPOINTS)
    (tmp_path / "__MQSERVERS__.DEF").write_text(SERVERS)
    return tmp_path


@pytest.fixture
def holder(folder: Path) -> DirectoryHolder:
    holder = DirectoryHolder("voip3", folder)
    assert holder.start().ok
    return holder


def test_load(folder: Path) -> None:
    (folder / "endpoints_pjsip.def").write_text(ENDPOINTS + "rubbish\n")
    loaded = load(folder)
    assert dict(loaded.counts) == {"clients": 1, "endpoints": 2, "mqservers": 1}
    assert [str(bad) for bad in loaded.bad_lines] == [
        "endpoints_pjsip.def, line 3: neither a comment nor #include FILE ; NAME:value ..."
    ]
    assert loaded.missing == ()
    assert loaded.directory.clients["101"].mq == "main"


def test_start(holder: DirectoryHolder) -> None:
    assert holder.current.client_of("1013010") == "101"
    assert dict(holder.loaded.counts) == {"clients": 1, "endpoints": 2, "mqservers": 1}


def test_start_without_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = DirectoryHolder("voip3", tmp_path / "none")
    started = holder.start()
    assert not started.ok
    assert started.sentence == f"no definition files of voip3: the folder {tmp_path}/none is not there"
    assert holder.current.endpoints == {}
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, started.sentence)
    ]


def test_start_with_what_is_there(folder: Path) -> None:
    (folder / "__MQSERVERS__.DEF").unlink()
    (folder / "__CLIENTES__.DEF").unlink()
    (folder / "__CLIENTES__.DEF").mkdir()
    holder = DirectoryHolder("voip3", folder)
    started = holder.start()
    assert not started.ok
    assert started.sentence == (
        "loaded the definitions of voip3: 0 clients, 2 endpoints, 0 mqservers; "
        f"{folder}/__MQSERVERS__.DEF is not there; {folder}/__CLIENTES__.DEF can't be read: Is a directory"
    )
    with pytest.raises(TransientError, match="Is a directory"):
        load(folder)


def test_a_reload_replaces_the_tables_whole(holder: DirectoryHolder, folder: Path) -> None:
    before = holder.current
    (folder / "endpoints_pjsip.def").write_text("#include c ; Endpoint:1023001 CLI:102\nrubbish\n")
    done = holder.reload("endpoints")
    assert done.ok
    assert (
        done.sentence
        == "read the definitions of voip3 again: 1 clients, 1 endpoints, 1 mqservers, 1 bad line"
    )
    assert list(before.endpoints) == ["1013010", "1013015"]
    assert list(holder.current.endpoints) == ["1023001"]


@pytest.mark.parametrize(
    ("which", "file"),
    [
        ("clients", "__CLIENTES__.DEF"),
        ("endpoints", "endpoints_pjsip.def"),
        ("mqservers", "__MQSERVERS__.DEF"),
    ],
)
@pytest.mark.parametrize("damage", ["gone", "unreadable", "empty", "rubbish"])
@pytest.mark.parametrize("scope", ["one", "all"])
def test_a_reload_that_fails_keeps_the_old_tables(
    holder: DirectoryHolder, folder: Path, which: str, file: str, damage: str, scope: str
) -> None:
    before = holder.current
    path = folder / file
    path.unlink()
    if damage == "unreadable":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(b"" if damage == "empty" else b"\xff\x00\n!\n")
    done = holder.reload(which if scope == "one" else "all")
    assert not done.ok
    assert holder.current is before
    assert done.sentence.startswith(
        f"the definitions of voip3 stay as they are (1 clients, 2 endpoints, 1 mqservers): {path} "
    )
    assert done.sentence.endswith(
        {
            "gone": "is not there any more",
            "unreadable": "can't be read: Is a directory",
            "empty": "entries and has none now",
            "rubbish": "entries and has none now (2 bad lines)",
        }[damage]
    )


def test_all_is_all_or_nothing(holder: DirectoryHolder, folder: Path) -> None:
    (folder / "__CLIENTES__.DEF").write_text("[103]\n")
    (folder / "endpoints_pjsip.def").unlink()
    assert not holder.reload().ok
    assert list(holder.current.clients) == ["101"]
    assert holder.reload("clients").ok
    assert list(holder.current.clients) == ["103"]


def test_a_file_that_comes_later_is_taken(folder: Path) -> None:
    (folder / "__MQSERVERS__.DEF").unlink()
    holder = DirectoryHolder("voip3", folder)
    holder.start()
    assert holder.current.clients["101"].mq == ""
    assert holder.reload("mqservers").sentence.endswith("0 mqservers, 1 bad line")
    (folder / "__MQSERVERS__.DEF").write_text(SERVERS)
    assert holder.reload("mqservers").ok
    assert holder.current.clients["101"].mq == "main"


def test_an_unknown_table(holder: DirectoryHolder) -> None:
    with pytest.raises(
        PermanentError, match="there is no table 'x'; there are clients, endpoints, mqservers and all"
    ):
        holder.reload("x")


def test_many_bad_lines_are_logged_in_part(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "endpoints_pjsip.def").write_text(ENDPOINTS + "rubbish\n" * 30)
    DirectoryHolder("voip3", folder).start()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 21
    assert messages[-1] == "skipped in the definitions of voip3: 10 more bad lines"

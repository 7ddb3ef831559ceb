"""The file of tokens, and `arimonitor tokens` on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon import cli
from daemon.errors import PermanentError
from daemon.mail.tokens import Tokens, entry_of
from daemon.mail.tokens_file import TokensFile

PERSON = "person@example.com"
NOW = datetime.now(UTC)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    config = tmp_path / "arimonitor.toml"
    config.write_text(
        f'[mail]\ntokens_file = "{tmp_path}/site/tokens"\nwhitelist = ["{PERSON}"]\n', encoding="utf-8"
    )

    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(["tokens", *words, "-c", str(config)])
        except SystemExit as end:
            status = int(str(end.code))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_the_file_is_replaced_as_a_whole_and_is_nobody_elses(tmp_path: Path) -> None:
    file = TokensFile(tmp_path / "site" / "tokens")
    assert file.load() == Tokens()
    entry = entry_of("1A2B3C4D", PERSON, NOW, 30, b"s" * 16)
    os.umask(os.umask(0))
    file.change(lambda tokens: tokens.added(entry))
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert not file.is_open_to_others()
    assert TokensFile(file.path).load() == Tokens((entry,))
    assert sorted(each.name for each in file.path.parent.iterdir()) == ["tokens", "tokens.lock"]
    assert "1A2B3C4D" not in file.path.read_text(encoding="utf-8").upper()


def test_what_another_process_changes_is_seen(tmp_path: Path) -> None:
    ours, theirs = TokensFile(tmp_path / "tokens"), TokensFile(tmp_path / "tokens")
    theirs.change(lambda tokens: tokens.added(entry_of("1A2B3C4D", PERSON, NOW, 30, b"s" * 16)))
    assert ours.load().verify(PERSON, "1A2B3C4D", NOW) == "right"
    theirs.change(lambda tokens: tokens.revoked(PERSON)[0])
    assert ours.load() == Tokens()
    ours.path.unlink()
    assert ours.load() == Tokens()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_makes_no_file_that_the_daemon_cannot_read(tmp_path: Path) -> None:
    home, folder = tmp_path / "data", tmp_path / "etc"
    home.mkdir()
    folder.mkdir()
    os.chown(home, 12345, 12346)
    file = TokensFile(folder / "tokens", home=home)
    for _ in range(2):
        file.change(lambda tokens: tokens.added(entry_of("1A2B3C4D", PERSON, NOW, 30, b"s" * 16)))
        status = file.path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 12346, 0o600)
    os.chown(file.path, 12347, 12348)
    file.change(lambda tokens: tokens)
    assert file.path.stat().st_uid == 12347


@pytest.mark.parametrize("data", [b"", b"1A2B3C4D\n", b"[]", b'{"entries": [{"id": 1}]}', b"\xff\xfe"])
def test_another_file_is_refused_without_quoting_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(data)
    with pytest.raises(PermanentError, match="no file of tokens") as error:
        TokensFile(path).load()
    assert "1A2B3C4D" not in str(error.value)
    with pytest.raises(PermanentError):
        TokensFile(path).change(lambda tokens: tokens)
    assert path.read_bytes() == data


def test_a_change_that_was_cut_off_does_no_harm(tmp_path: Path) -> None:
    file = TokensFile(tmp_path / "tokens")
    (tmp_path / "tokens.new").write_bytes(b"half")
    file.change(lambda tokens: tokens.added(entry_of("1A2B3C4D", PERSON, NOW, 30, b"s" * 16)))
    assert len(TokensFile(file.path).load().entries) == 1


def test_new_shows_the_token_once(run: Run) -> None:
    status, out, err = run("new", "--sender", PERSON)
    token = out.strip()[1:-1]
    assert (status, len(token)) == (0, 8)
    assert "whitelist" not in err
    status, out, err = run("list")
    assert (status, err) == (0, "")
    assert PERSON in out
    assert token not in (out + err).upper()


def test_new_with_a_token_of_ones_own(run: Run, tmp_path: Path) -> None:
    assert run("new", "--sender", "Person@Example.com", "--days", "7", "--token", "1a2b3c4d")[:2] == (
        0,
        "[1A2B3C4D]\n",
    )
    tokens = TokensFile(tmp_path / "site" / "tokens").load()
    assert tokens.verify(PERSON, "1A2B3C4D", datetime.now(UTC)) == "right"
    assert (tokens.entries[0].expires - tokens.entries[0].created).days == 7


def test_new_warns_of_a_sender_who_is_not_on_the_whitelist(run: Run) -> None:
    status, _, err = run("new", "--sender", "other@example.com")
    assert status == 0
    assert "mail.whitelist" in err


@pytest.mark.parametrize(
    "words",
    [
        ("new",),
        ("new", "--sender", "nobody"),
        ("new", "--sender", PERSON, "--token", "9F8E7D6"),
        ("new", "--sender", PERSON, "--days", "0"),
        ("revoke",),
        ("shred",),
        (),
    ],
)
def test_bad_usage(run: Run, words: tuple[str, ...], tmp_path: Path) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err
    assert "9F8E7D6" not in err
    assert not (tmp_path / "site").exists()


def test_revoke_and_list(run: Run) -> None:
    assert run("list")[:2] == (0, "there are no tokens\n")
    run("new", "--sender", PERSON)
    run("new", "--sender", PERSON)
    run("new", "--sender", "other@example.com")
    listed = json.loads(run("list", "--json")[1])
    assert [entry["sender"] for entry in listed] == [PERSON, PERSON, "other@example.com"]
    assert set(listed[0]) == {"id", "sender", "created", "expires", "state"}
    assert run("revoke", listed[2]["id"])[:2] == (0, f"revoked: {listed[2]['id']} of other@example.com\n")
    assert run("revoke", "--sender", PERSON)[0] == 0
    assert run("revoke", PERSON)[0] == 1
    assert run("list")[1] == "there are no tokens\n"

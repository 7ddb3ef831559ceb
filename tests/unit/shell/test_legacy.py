"""The old system's files as TOML."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.settings.draft import Draft
from daemon.shell.legacy import Legacy, NotUnderstood, convert

NOW = datetime(2025, 10, 27, tzinfo=UTC)
OLD = """\
# the monitor
EMAIL_SERVICE=audio.example@gmail.com
EMAIL_PASSWORD="app password"
WHITELIST=person@example.com, other@example.com;@example.org
SMTP_SERVER=smtp.gmail.com
SMTP_PORT=587
SMTP_FROM=Audio <audio.example@gmail.com>
SMTP_PASSWORD=app password
LOG_FILE=/var/log/monitor.log
QUEUE_DIR=/var/spool/audio/queue
PROCESSOR_SCRIPT=/opt/select.py
PROCESSING_TIMEOUT=30
MAX_RETRIES=3
MAX_RAMAIS=10
MAX_DAYS_RANGE=30
TOKEN_FILE=/etc/valid_tokens.txt
MODE=master
AUDIOS_FROM=audio
COLOUR=blue
API_TOKEN=abcdef
nonsense
"""
SERVERS = {"gv1p": {"audios_from": "audio", "host": "gv1p.example.com", "ssh_port": 2222}, "voip1": "s3"}


def converted(config: str = OLD, servers: Any = None) -> dict[str, Any]:
    text, _ = convert(Legacy(config, servers), NOW)
    raw = tomllib.loads(text)
    Draft("import", data=tomllib.loads(text)).build()
    return raw


def test_the_whole() -> None:
    assert converted(servers=SERVERS) == {
        "node": {"mode": "auto", "priority": 110},
        "mail": {
            "inbox": "imap",
            "outbox": "smtp",
            "whitelist": ["person@example.com", "other@example.com", "@example.org"],
            "imap": {
                "host": "imap.gmail.com",
                "username": "audio.example@gmail.com",
                "password": "app password",
            },
            "smtp": {
                "host": "smtp.gmail.com",
                "port": 587,
                "username": "audio.example@gmail.com",
                "password": "app password",
                "from": "audio.example@gmail.com",
            },
        },
        "queue": {"dir": "/var/spool/audio/queue", "processing_timeout": 30, "max_tries": 3,
                  "max_extensions": 10, "max_days": 30},
        "recordings": {"audios_from": "audio"},
        "server": [
            {"name": "gv1p", "audios_from": "audio", "host": "gv1p.example.com", "port": 2222},
            {"name": "voip1", "audios_from": "s3"},
        ],
    }  # fmt: skip


def test_what_is_not_understood_is_a_comment_without_its_secret() -> None:
    text, notes = convert(Legacy(OLD), NOW)
    assert "# not understood, left out: COLOUR=blue" in text
    assert "# not understood, left out: API_TOKEN=***" in text
    assert "abcdef" not in text
    assert any("3 lines" in note for note in notes)


def test_a_slave_asks_later() -> None:
    assert converted("MODE=slave\n")["node"] == {"mode": "auto", "priority": 100}


@pytest.mark.parametrize(
    "servers",
    [
        {"servers": {"gv1p": {"audios_from": "audio"}}},
        {"gv1p": {"audios_from": "audio"}},
        {"gv1p": "audio"},
        [{"name": "gv1p", "audios_from": "audio"}],
        {"servers": [{"name": "gv1p", "audios_from": "AUDIO"}]},
    ],
)
def test_forms_of_the_servers(servers: Any) -> None:
    assert converted(servers=servers)["server"] == [{"name": "gv1p", "audios_from": "audio"}]


def test_s3_passes_and_says_what_is_missing() -> None:
    converted("AUDIOS_FROM=s3\n")
    assert any("bucket" in note for note in convert(Legacy("AUDIOS_FROM=s3\n"), NOW)[1])


@pytest.mark.parametrize("config", ["", "no keys\n", "# only comments\n"])
def test_another_file(config: str) -> None:
    with pytest.raises(NotUnderstood):
        convert(Legacy(config), NOW)


def test_seconds_and_nonsense() -> None:
    assert converted("PROCESSING_TIMEOUT=1800\nMAX_RETRIES=many\n")["queue"] == {"processing_timeout": 30}

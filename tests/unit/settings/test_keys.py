"""Keys by dotted name: get, set, compare; and that sample file and manual have every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from daemon.errors import PermanentError
from daemon.settings import Settings
from daemon.settings.keys import (
    KeyInfo,
    changes,
    get,
    keys,
    live_part,
    restart_needed,
    schema,
    secrets,
    with_value,
)

HERE = Path(__file__).parents[3]
SITE = Settings.model_validate(
    {
        "asterisk": [{"name": "voip3", "password": "hunter2"}, {"name": "voip1"}],
        "mail": {"sender": [{"address": "person@example.com", "extensions": ["1121"]}]},
        "server": [{"name": "gv1p"}],
    }
)


def test_get() -> None:
    assert get(SITE, "asterisk.voip3.url") == "http://127.0.0.1:8088"
    assert get(SITE, "asterisk.voip3.password") == "***"
    assert get(SITE, "asterisk.voip1.password") == ""
    assert get(SITE, "mail.sender.person@example.com.extensions") == ["1121"]
    assert get(SITE, "mail.smtp.from") == ""
    assert get(SITE, "log") == {
        "log.dir": "/var/log/arimonitor",
        "log.level": "INFO",
        "log.format": "text",
        "log.keep_days": 30,
        "log.debug": False,
        "log.debug_verbose": False,
    }
    assert "hunter2" not in repr(get(SITE, "asterisk"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("log.levle", "there is no key 'log.levle'; did you mean log.level?"),
        ("asterisk.voip9.url", "there is no key 'asterisk.voip9.url'; did you mean asterisk.voip3.url?"),
        ("", "there is no key ''"),
        ("zzz", "there is no key 'zzz'"),
    ],
)
def test_an_unknown_key(name: str, sentence: str) -> None:
    with pytest.raises(PermanentError) as caught:
        get(SITE, name)
    assert str(caught.value) == sentence
    with pytest.raises(PermanentError, match="there is no key"):
        with_value(SITE, name, "1")


def test_set() -> None:
    found = with_value(SITE, "asterisk.voip1.url", "http://192.0.2.1:8088/pbx")
    assert [a.url for a in found.asterisk] == ["http://127.0.0.1:8088", "http://192.0.2.1:8088/pbx"]
    assert found.asterisk[0].password == SITE.asterisk[0].password
    assert with_value(SITE, "log.debug_verbose", "true").log.debug_verbose is True
    assert with_value(SITE, "log.level", "debug").log.level == "DEBUG"
    assert with_value(SITE, "mail.whitelist", "@example.org,a@example.com").mail.whitelist == (
        "@example.org",
        "a@example.com",
    )
    assert with_value(SITE, "mail.sender.person@example.com.servers", "gv1p").mail.sender[0].servers == (
        "gv1p",
    )
    changed = with_value(SITE, "asterisk.voip3.password", "new")
    assert changed.asterisk[0].password is not None
    assert changed.asterisk[0].password.get_secret_value() == "new"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("log.level", "LOUD", 'log.level = "LOUD": one of "DEBUG", "INFO", "WARNING", "ERROR"'),
        ("queue.max_tries", "0", "queue.max_tries = 0: a whole number from 1 to 100"),
        ("queue.max_tries", "x", 'queue.max_tries = "x": a whole number from 1 to 100'),
        ("log.debug", "maybe", 'log.debug = "maybe": true or false'),
        ("mail.admin", "x", 'mail.admin = "x": one mail address, such as "person@example.com"'),
        (
            "mail.sender.person@example.com.servers",
            "gv9",
            'mail.sender.person@example.com.servers[1] = "gv9": the name of a [[server]]',
        ),
        (
            "node.data_dir",
            "/x",
            "node.data_dir can't change while running: change it in the configuration and restart",
        ),
        (
            "asterisk.voip3.password",
            "enc:x",
            "asterisk.voip3.password: an encrypted secret belongs in the configuration file; reload it",
        ),
    ],
)
def test_what_can_t_be_set(name: str, text: str, sentence: str) -> None:
    with pytest.raises(PermanentError) as caught:
        with_value(SITE, name, text)
    assert str(caught.value) == sentence


NEW = Settings.model_validate(
    {
        "node": {"priority": 110},
        "log": {"debug": True},
        "asterisk": [
            {"name": "voip3", "password": "other", "app": "x"},
            {"name": "voip9"},
        ],
        "mail": {
            "imap": {"port": 143},
            "sender": [
                {"address": "b@example.com"},
                {"address": "person@example.com", "commands": ["CHECKIP"]},
            ],
        },
        "server": [{"name": "gv1p"}],
    }
)


def test_changes_and_what_needs_a_restart() -> None:
    assert changes(SITE, SITE) == []
    changed = changes(SITE, NEW)
    assert changed == [
        "node.priority",
        "asterisk.voip1",
        "asterisk.voip3.password",
        "asterisk.voip3.app",
        "asterisk.voip9",
        "mail.imap.port",
        "mail.sender.b@example.com",
        "mail.sender.person@example.com.commands",
        "mail.sender.person@example.com.extensions",
        "log.debug",
    ]
    assert restart_needed(changed) == [
        "node.priority",
        "asterisk.voip1",
        "asterisk.voip3.app",
        "asterisk.voip9",
        "mail.imap.port",
    ]


def test_a_reload_puts_the_live_part_in_force() -> None:
    found = live_part(SITE, NEW)
    assert changes(SITE, found) == [
        "asterisk.voip3.password",
        "mail.sender.b@example.com",
        "mail.sender.person@example.com.commands",
        "mail.sender.person@example.com.extensions",
        "log.debug",
    ]
    assert restart_needed(changes(found, NEW)) == changes(found, NEW)
    assert live_part(SITE, SITE) == SITE


def test_an_element_that_is_called_as_a_key() -> None:
    odd = Settings.model_validate({"asterisk": [{"name": "url"}]})
    assert changes(Settings(), odd) == ["asterisk.url"]
    assert restart_needed(["asterisk.url", "asterisk.url.url"]) == ["asterisk.url"]


def test_secrets_for_redaction() -> None:
    assert secrets(SITE) == ("hunter2",)
    assert secrets(Settings()) == ()


def test_every_key_is_listed_with_type_and_default() -> None:
    listed = {key.name: key for key in keys(SITE)}
    assert listed["asterisk.voip3.password"].value == '"***"'
    assert listed["mq.port"] == KeyInfo(
        "mq.port",
        "a whole number from 1 to 65535",
        "5672",
        "5672",
        secret=False,
        live=False,
        summary="of RabbitMQ; with tls usually 5671",
    )
    assert "asterisk.*.url" in {key.name for key in schema()}
    assert all(key.summary for key in schema())


def uncommented(text: str) -> str:
    """The sample with its keys and tables put in force; prose has more than one blank behind the #."""
    return re.sub(r"(?m)^# (?=\[|\w+ = )", "", text)


def test_the_sample_file_has_every_key_with_its_default() -> None:
    text = (HERE / "etc/arimonitor.toml").read_text(encoding="utf-8")
    assert Settings.model_validate(tomllib.loads(text)) == Settings()

    data = tomllib.loads(uncommented(text))
    found = {key.name: key for key in keys(Settings.model_validate(data))}
    names = {name: re.sub(r"^(asterisk|peer|server|mail\.sender)\..*\.", r"\1.*.", name) for name in found}
    assert sorted(names.values()) == sorted(key.name for key in schema())
    written = {name: found[name].value for name in found}
    defaults = {key.name: key.default for key in schema() if key.default}
    assert {names[name]: value for name, value in written.items() if names[name] in defaults} == defaults

    # Not only valid: each is really written there, and explained.
    for key in schema():
        label = key.name.rpartition(".")[2]
        assert re.search(rf"(?m)^# {label} = .*  # \S", text), key.name


def test_the_manual_has_every_key() -> None:
    manual = (HERE / "docs/configuration.md").read_text(encoding="utf-8")
    for key in schema():
        default = "`***`" if key.secret and key.default != '""' else f"`{key.default}`"
        default = "" if key.default in ("", '""') else default
        cells = (f"`{key.name}`", key.type, default, "live" if key.live else "restart", key.summary)
        assert "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" in manual.replace(
            "|  |", "|  |"
        )

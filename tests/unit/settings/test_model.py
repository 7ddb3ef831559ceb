"""Models and cross checks: what an empty configuration is, and what each mistake is answered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.errors import ConfigurationError
from daemon.settings import NodeSettings, Settings, is_loopback, split_address
from daemon.settings.draft import Draft


def problems(**tables: Any) -> list[str]:
    """The problem lines of a raw configuration, without their origin."""
    try:
        Draft("", tables).build()
    except ConfigurationError as error:
        return list(error.problems)
    return []


def test_the_empty_configuration_is_one_node_on_embedded_parts() -> None:
    settings = Settings()
    assert settings.asterisk == ()
    assert settings.ha.backend == "file"
    assert settings.mq.backend == "file"
    assert (settings.mail.inbox, settings.mail.outbox) == ("maildir", "maildir")
    assert settings.manager.listen == "127.0.0.1:1101"
    assert settings.http.listen == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert settings.node.data_dir == Path("/var/lib/arimonitor")
    assert settings.queue.dir == Path("/var/lib/arimonitor/queue")
    assert settings.log.keep_days == 30
    assert problems() == []
    assert Settings.model_validate({}) == settings


def test_places_follow_data_dir_unless_they_are_set() -> None:
    settings = Settings.model_validate(
        {"node": {"data_dir": "/srv/a"}, "mail": {"tokens_file": "/etc/tokens"}}
    )
    assert settings.queue.dir == Path("/srv/a/queue")
    assert settings.mail.maildir == Path("/srv/a/mail")
    assert settings.mail.tokens_file == Path("/etc/tokens")
    assert settings.recordings.publish_dir == Path("/srv/a/audios")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().node.name = "other"


def test_secrets_show_nowhere() -> None:
    settings = Settings.model_validate({"mq": {"password": "hunter2"}})
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.mq.password is not None
    assert settings.mq.password.get_secret_value() == "hunter2"


ONE = [
    ({"node": {"name": "A B"}}, 'node.name = "A B": a name of letters, digits, _ and - only'),
    ({"node": {"mode": "boss"}}, 'node.mode = "boss": one of "auto", "master", "slave"'),
    ({"node": {"shadow": "yes"}}, 'node.shadow = "yes": true or false'),
    ({"node": {"priority": True}}, "node.priority = true: a whole number from 0 to 1000000"),
    (
        {"node": {"data_dir": "var"}},
        'node.data_dir = "var": an absolute path, such as "/var/lib/arimonitor"',
    ),
    (
        {"node": {"timezone": "Mars/Olympus"}},
        'node.timezone = "Mars/Olympus": '
        'a time zone of the tz database, such as "America/Sao_Paulo" or "UTC"',
    ),
    ({"node": "AUDIO2"}, 'node = "AUDIO2": a table: [name] and its keys below'),
    ({"mq": {"port": 70000}}, "mq.port = 70000: a whole number from 1 to 65535"),
    ({"mq": {"port": "5672"}}, 'mq.port = "5672": a whole number from 1 to 65535'),
    ({"mq": {"prot": 5672}}, "mq.prot: unknown key; did you mean port?"),
    ({"mq": {"pasword_file": "/x"}}, "mq.pasword_file: unknown key; did you mean password_file?"),
    ({"mq": {"password": 12345}}, "mq.password = ***: text in quotes"),
    ({"mq": {"window": 0}}, "mq.window = 0: a whole number from 1 to 100000"),
    ({"mq": {"connect_timeout": 0}}, "mq.connect_timeout = 0: a number above 0 up to 120"),
    ({"mq": {"message_format": "v4"}}, 'mq.message_format = "v4": one of "v3", "v2.7"'),
    ({"mq": {"exchange": ""}}, 'mq.exchange = "": must not be empty'),
    (
        {"asterisk": {"name": "x"}},
        "asterisk = (a table): an array of tables: [[name]] and its keys below, once for each",
    ),
    ({"asterisk": [{}]}, "asterisk.#1.name: must be given"),
    ({"ha": {"backend": "zookeeper"}}, None),
    ({"log": {"level": "LOUD"}}, 'log.level = "LOUD": one of "DEBUG", "INFO", "WARNING", "ERROR"'),
    (
        {"manager": {"listen": "1101"}},
        'manager.listen = "1101": HOST:PORT, such as "127.0.0.1:1101" or "[::1]:1101"',
    ),
    ({"http": {"listen": "127.0.0.1:80"}}, None),
    (
        {"mail": {"whitelist": ["a@example.com", "nobody"]}},
        'mail.whitelist[2] = "nobody": '
        'mail addresses ("person@example.com") or whole domains ("@example.org")',
    ),
    (
        {"mail": {"sender": [{"address": "a@example.com", "extensions": ["12"]}]}},
        'mail.sender.a@example.com.extensions[1] = "12": '
        'extensions of 3 to 8 digits or ranges of them ("1121", "1100-1199")',
    ),
]


@pytest.mark.parametrize(("tables", "line"), ONE)
def test_one_mistake_is_one_line(tables: dict[str, Any], line: str | None) -> None:
    found = problems(**tables)
    assert len(found) == 1
    if line is not None:
        assert found == [line]


@pytest.mark.parametrize(
    "url",
    [
        "voip3",
        "ftp://voip3",
        "http://",
        "http://a:b",
        "http://[::1",
        "http://h/?a=1",
        "http://me:pw@h:8088",
        "me:pw@h:8088",
        "http://a b",
    ],
)
def test_a_wrong_url_is_refused_and_its_password_hidden(url: str) -> None:
    found = problems(asterisk=[{"name": "voip3", "url": url}])
    assert len(found) == 1
    assert found[0].startswith("asterisk.voip3.url = ")
    assert "pw@" not in found[0]


@pytest.mark.parametrize("url", ["http://h:8088", "https://h/asterisk/", "http://[2001:db8::1]:8088"])
def test_a_url_may_have_a_prefix(url: str) -> None:
    settings = Settings.model_validate({"asterisk": [{"name": "voip3", "url": url}]})
    assert settings.asterisk[0].url == url.rstrip("/")


CROSS = [
    (
        {"asterisk": [{"name": "voip3"}, {"name": "voip3"}]},
        ['asterisk.voip3.name = "voip3": a name that no other [[asterisk]] has'],
    ),
    (
        {"asterisk": [{"name": "voip3", "host": "gv1p"}]},
        ['asterisk.voip3.host = "gv1p": "local" or the name of a [[server]] (none is configured)'],
    ),
    (
        {"asterisk": [{"name": "voip3", "host": "gv1p"}], "server": [{"name": "gv1p"}]},
        ['server.gv1p.host: a host, because the files of [[asterisk]] "voip3" are fetched from it'],
    ),
    (
        {"asterisk": [{"name": "voip3", "host": "gv1p"}], "server": [{"name": "gv1p", "host": "192.0.2.1"}]},
        [],
    ),
    (
        {"asterisk": [{"name": "voip3", "websocket": "server"}]},
        ['asterisk.voip3.listen: HOST:PORT to listen on, needed with websocket = "server"'],
    ),
    (
        {"ha": {"backend": "zookeeper"}},
        [
            "ha.hosts: HOST:PORT of each ZooKeeper server separated by commas, "
            'needed with backend = "zookeeper"'
        ],
    ),
    ({"ha": {"backend": "zookeeper", "hosts": "192.0.2.1:2181, zk2"}}, []),
    ({"ha": {"username": "arimonitor"}}, ["ha.password: needed with ha.username"]),
    ({"ha": {"password": "secret"}}, ["ha.username: needed with ha.password"]),
    ({"ha": {"username": "arimonitor", "password": "secret"}}, []),
    (
        {"ha": {"username": "ari:monitor", "password": "secret"}},
        ['ha.username = "ari:monitor": a name without a colon, as ZooKeeper\'s digest login has it'],
    ),
    (
        {"mail": {"inbox": "imap", "outbox": "smtp"}},
        [
            'mail.imap.host: needed with inbox = "imap"',
            'mail.imap.username: needed with inbox = "imap"',
            'mail.smtp.host: needed with outbox = "smtp"',
            'mail.smtp.from: needed with outbox = "smtp"',
        ],
    ),
    (
        {"manager": {"listen": "0.0.0.0:1101"}},
        ["manager.password: needed where the console listens outside loopback"],
    ),
    ({"manager": {"listen": "0.0.0.0:1101", "password": "x"}}, []),
    ({"manager": {"listen": "127.0.0.1:0"}, "http": {"listen": ["127.0.0.1:0", "127.0.0.1:0"]}}, []),
    (
        {"manager": {"listen": "127.0.0.1:8080"}},
        ["http.listen[1]: another address: manager.listen has this one"],
    ),
    (
        {"node": {"name": "AUDIO"}, "peer": [{"name": "AUDIO", "host": "audio.example.com"}]},
        ["peer.AUDIO.name = \"AUDIO\": the other node's name, not this node's"],
    ),
    (
        {"recordings": {"mp3": "ssh"}},
        ['recordings.primary: the name of a [[peer]] or of a [[server]] with host, for mp3 = "ssh"'],
    ),
    ({"recordings": {"mp3": "ssh"}, "server": [{"name": "primary", "host": "192.0.2.9"}]}, []),
    ({"recordings": {"audios_from": "s3"}}, ['recordings.s3.bucket: needed with audios_from = "s3"']),
    (
        {"mail": {"sender": [{"address": "a@example.com", "servers": ["gv9"]}]}},
        ['mail.sender.a@example.com.servers[1] = "gv9": the name of a [[server]]'],
    ),
]


@pytest.mark.parametrize(("tables", "lines"), CROSS)
def test_keys_that_contradict_each_other(tables: dict[str, Any], lines: list[str]) -> None:
    assert problems(**tables) == lines


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems(
        nod={},
        mq={"port": 0, "colour": 1},
        asterisk=[{"name": "a b", "websocket": "server"}, {"url": "x"}, 7],
        mail={"inbox": "imap", "whitelist": ["x"]},
        manager={"listen": "192.0.2.1:1101"},
    )
    named = {line.partition(" = ")[0].partition(": ")[0] for line in found}
    assert named == {
        "nod",
        "mq.port",
        "mq.colour",
        "asterisk.a b.name",
        "asterisk.a b.listen",
        "asterisk.#2.name",
        "asterisk.#2.url",
        "asterisk[3]",
        "mail.imap.host",
        "mail.imap.username",
        "mail.whitelist[1]",
        "manager.password",
    }


def test_what_hangs_on_a_broken_key_is_not_said_twice() -> None:
    found = problems(server=[{"name": "gv 1p"}], asterisk=[{"name": "v", "host": "gv1p"}])
    assert found == ['server.gv 1p.name = "gv 1p": a name of letters, digits, _ and - only']


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:1101", ("127.0.0.1", 1101)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize("text", ["", ":1", "::1:80", "h:", "h:65536", "h:-1", "a b:1", "h:1\n", "h"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_address(text)


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")))
    assert not any(
        map(is_loopback, ("0.0.0.0", "::", "::ffff:192.0.2.1", "192.0.2.1", "audio.example.com", ""))
    )


def test_the_old_value_types_are_as_declared() -> None:
    assert NodeSettings(name="AUDIO2").name == "AUDIO2"
    settings = Settings.model_validate({"asterisk": [{"name": "v", "cdr": "", "recordings": ""}]})
    assert settings.asterisk[0].cdr is None
    assert settings.asterisk[0].recordings is None

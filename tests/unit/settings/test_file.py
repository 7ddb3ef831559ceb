"""Reading the configuration: which file, which layer wins, and every way in which it can be unusable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import ConfigurationError
from daemon.secretbox import encrypt, new_key
from daemon.settings import Settings
from daemon.settings.environment import parse_dotenv
from daemon.settings.file import Machine, load, resolve

ROOT = Machine(root=True, home=Path("/root"), host="audio2.example.com")
USER = Machine(root=False, home=Path("/home/ana"), host="pc_1 x")
NOWHERE = Path("/nonexistent/arimonitor.toml")
SECRET = "xyzzy-plugh"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "arimonitor.toml"


def problems(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ or {}, machine=ROOT, system_file=NOWHERE)
    assert all("\n" not in line for line in caught.value.problems)
    return [line.replace(str(path), "FILE") for line in caught.value.problems]


def read(path: Path | None, environ: dict[str, str] | None = None, machine: Machine = ROOT) -> Settings:
    return load(path, environ or {}, machine=machine, system_file=NOWHERE)


def test_nothing_configured_as_root() -> None:
    found = read(None)
    assert found.node.name == "audio2"
    assert found.node.data_dir == Path("/var/lib/arimonitor")
    assert found.log.dir == Path("/var/log/arimonitor")


def test_nothing_configured_as_a_user() -> None:
    found = read(None, machine=USER)
    assert found.node.name == "pc_1-x"
    assert found.node.data_dir == Path("/home/ana/.local/state/arimonitor")
    assert found.log.dir == Path("/home/ana/.local/state/arimonitor/log")
    assert found.queue.dir == Path("/home/ana/.local/state/arimonitor/queue")


def test_a_user_without_a_home_needs_none() -> None:
    assert read(None, machine=Machine(False, None, "h")).node.data_dir == Path("/var/lib/arimonitor")


def test_which_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    assert resolve(file, {"ARIMONITOR_CONFIG": str(other)}) == file
    assert resolve(None, {"ARIMONITOR_CONFIG": str(other)}) == other
    assert resolve(None, {}, file) is None
    file.write_text("")
    assert resolve(None, {}, file) == file
    assert resolve(None, {"ARIMONITOR_CONFIG": ""}, file) == file


def test_a_named_file_must_be_there(file: Path) -> None:
    assert problems(file) == ["FILE: there is no such file; give another with -c or $ARIMONITOR_CONFIG"]
    assert len(problems(None, {"ARIMONITOR_CONFIG": str(file)})) == 1


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["FILE: that is a directory; name the file in it"]


def test_a_file_that_can_t_be_read() -> None:
    # Its first page is never mapped, so that not even root reads it.
    assert problems(Path("/proc/self/mem")) == ["FILE: can't be read: Input/output error"]


def test_an_endless_file_is_refused() -> None:
    assert problems(Path("/dev/zero")) == ["FILE: is larger than 4096 kB"]


def test_latin_1_is_named_with_its_place(file: Path) -> None:
    file.write_bytes(b'[node]\nname = "Jo\xe3o"\n')
    assert problems(file) == ["FILE: line 2, column 11: byte 0xe3 is not UTF-8; save the file as UTF-8"]


def test_a_byte_order_mark_and_crlf_are_fine(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[node]\r\nname = "AUDIO2"\r\n')
    assert read(file).node.name == "AUDIO2"


def test_a_syntax_error_is_named_with_line_and_column(file: Path) -> None:
    file.write_text("[mq]\npassword = xyzzy-plugh\n")
    (line,) = problems(file)
    assert line.startswith("FILE: not TOML: ")
    assert "line 2, column 12" in line
    assert SECRET not in line


def test_nesting_without_end_is_an_error(file: Path) -> None:
    file.write_text("a = " + "[" * 100_000)
    assert problems(file) == ["FILE: not TOML: nested too deeply"]


def test_the_environment_wins_over_dotenv_over_the_file(file: Path) -> None:
    file.write_text('[mq]\nhost = "a"\nvhost = "a"\nport = 1\n')
    (file.parent / ".env").write_text("ARIMONITOR_MQ__HOST=b\nARIMONITOR_MQ__VHOST=b\nOTHER=1\n")
    found = read(file, {"ARIMONITOR_MQ__HOST": "c"})
    assert (found.mq.host, found.mq.vhost, found.mq.port) == ("c", "b", 1)


def test_values_of_the_environment_are_typed() -> None:
    found = read(
        None,
        {
            "ARIMONITOR_MQ__PORT": " 5671 ",
            "ARIMONITOR_MQ__TLS": "on",
            "ARIMONITOR_HA__SESSION_TIMEOUT": "6",
            "ARIMONITOR_LOG__LEVEL": "debug",
            "ARIMONITOR_MAIL__WHITELIST": "a@example.com, @example.org",
            "ARIMONITOR_RECORDINGS__ROOTS": '["/a,b", "/c"]',
            "ARIMONITOR_HTTP__LISTEN": "[]",
            "ARIMONITOR_MAIL__SMTP__FROM": "x@example.com",
        },
    )
    assert (found.mq.port, found.mq.tls, found.ha.session_timeout) == (5671, True, 6.0)
    assert found.log.level == "DEBUG"
    assert found.mail.whitelist == ("a@example.com", "@example.org")
    assert found.recordings.roots == (Path("/a,b"), Path("/c"))
    assert found.http.listen == ()
    assert found.mail.smtp.from_ == "x@example.com"


def test_elements_are_reached_by_name(file: Path) -> None:
    file.write_text('[[asterisk]]\nname = "voip3"\n[[asterisk]]\nname = "gv-1"\n')
    found = read(
        file,
        {
            "ARIMONITOR_ASTERISK__voip3__URL": "http://192.0.2.3:8088",
            "ARIMONITOR_ASTERISK__GV-1__APP": "x",
            "ARIMONITOR_ASTERISK__new__one__URL": "http://192.0.2.4:8088",
            "ARIMONITOR_MAIL__SENDER__a@example.com__COMMANDS": "ramais,CHECKIP",
        },
    )
    assert [(a.name, a.url, a.app) for a in found.asterisk] == [
        ("voip3", "http://192.0.2.3:8088", "arimonitor"),
        ("gv-1", "http://127.0.0.1:8088", "x"),
        ("new__one", "http://192.0.2.4:8088", "arimonitor"),
    ]
    assert found.mail.sender[0].commands == ("RAMAIS", "CHECKIP")


WRONG_VARIABLES = [
    (
        {"ARIMONITOR_MQ__PASSWORD": SECRET, "ARIMONITOR_MQ__PASSWORD_FILE": "/x"},
        "ARIMONITOR_MQ__PASSWORD_FILE: give ARIMONITOR_MQ__PASSWORD or this, not both",
    ),
    ({"ARIMONITOR_MQ__PORT": "x"}, 'ARIMONITOR_MQ__PORT: mq.port = "x": a whole number from 1 to 65535'),
    ({"ARIMONITOR_MQ__PROT": "1"}, "ARIMONITOR_MQ__PROT: unknown key; did you mean port?"),
    (
        {"ARIMONITOR_QUEU__DIR": "/"},
        "ARIMONITOR_QUEU__DIR: the configuration has no section [queu]; did you mean [queue]?",
    ),
    (
        {"ARIMONITOR_MQ_HOST": "h"},
        "ARIMONITOR_MQ_HOST: two underscores between section and key: ARIMONITOR_MQ__HOST",
    ),
    ({"ARIMONITOR_MQ__": "h"}, "ARIMONITOR_MQ__: name a key too: ARIMONITOR_MQ__KEY"),
    (
        {"ARIMONITOR_ASTERISK__URL": "h"},
        "ARIMONITOR_ASTERISK__URL: the element's name and the key are needed: ARIMONITOR_ASTERISK__NAME__KEY",
    ),
    ({"ARIMONITOR_MAIL__IMAP": "h"}, "ARIMONITOR_MAIL__IMAP: name a key too: ARIMONITOR_MAIL__IMAP__KEY"),
    (
        {"ARIMONITOR_ASTERISK__a b__URL": "http://h"},
        'ARIMONITOR_ASTERISK__a b__URL: asterisk.a b.name = "a b": a name of letters, digits, _ and - only',
    ),
    (
        {"ARIMONITOR_MQ__PASSWORD_FILE": SECRET},
        "ARIMONITOR_MQ__PASSWORD_FILE: mq.password_file = ***: "
        "the absolute path of a file with the secret in it",
    ),
]


@pytest.mark.parametrize(("environ", "line"), WRONG_VARIABLES)
def test_a_wrong_variable_is_named(environ: dict[str, str], line: str) -> None:
    assert problems(None, environ) == [line]


def test_other_variables_are_left_alone() -> None:
    environ = {
        "ARIMONITOR_PORT": "tcp://192.0.2.1:80",
        "ARIMONITOR_X": "",
        "ARIMONITOR_KEY": "k",
        "MQ__A": "h",
    }
    assert read(None, environ) == read(None)


def test_secrets_from_files(file: Path, tmp_path: Path) -> None:
    held = tmp_path / "ari"
    held.write_text(SECRET + "\r\n")
    file.write_text(f'[[asterisk]]\nname = "v"\npassword_file = "{held}"\n[mq]\npassword = "other"\n')
    found = read(file, {"ARIMONITOR_MQ__PASSWORD_FILE": str(held)})
    assert found.asterisk[0].password is not None
    assert found.asterisk[0].password.get_secret_value() == SECRET
    assert found.mq.password == found.asterisk[0].password


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (None, "a readable file with the secret in it (No such file or directory)"),
        (b"", "a file with the secret in it (this one is empty)"),
        (b"\xff\xfe", "a file whose text is UTF-8"),
        (b"x" * 70_000, "a file with the secret in it (is larger than 64 kB)"),
    ],
)
def test_unusable_secret_files(file: Path, tmp_path: Path, content: bytes | None, right: str) -> None:
    held = tmp_path / "secret"
    if content is not None:
        held.write_bytes(content)
    file.write_text(f'[manager]\nlisten = "0.0.0.0:1"\npassword_file = "{held}"\n')
    assert problems(file) == [f'FILE: manager.password_file = "{held}": {right}']


def test_a_secret_and_its_file_are_one_too_many(file: Path) -> None:
    file.write_text(f'[mq]\npassword = "{SECRET}"\npassword_file = "/x"\n')
    assert problems(file) == ['FILE: mq.password_file = "/x": give password or password_file, not both']


def test_encrypted_secrets(file: Path) -> None:
    key = new_key()
    file.write_text(f'[mq]\npassword = "{encrypt(SECRET, key)}"\n')
    for environ in ({"ARIMONITOR_KEY": key}, {}):
        if not environ:
            (file.parent / ".env").write_text(f"ARIMONITOR_KEY='{key}'\n")
        password = read(file, environ).mq.password
        assert password is not None
        assert password.get_secret_value() == SECRET


@pytest.mark.parametrize("key", [None, "short", new_key()])
def test_a_secret_that_can_t_be_decrypted(file: Path, key: str | None) -> None:
    file.write_text(f'[mq]\npassword = "{encrypt(SECRET, new_key())}"\n')
    (line,) = problems(file, {"ARIMONITOR_KEY": key} if key else {})
    assert line.startswith("FILE: mq.password = ***: ")
    assert "ARIMONITOR_KEY" in line


def test_all_layers_in_one_error(file: Path) -> None:
    file.write_text('[mq]\nport = 0\npassword_file = "x"\n')
    (file.parent / ".env").write_text("ARIMONITOR_MQ__WINDOW=x\nwhat is this\n")
    dotenv = file.parent / ".env"
    assert problems(file, {"ARIMONITOR_LOG__LEVEL": "LOUD"}) == [
        f"{dotenv}: line 2: KEY=VALUE",
        "FILE: mq.password_file = ***: the absolute path of a file with the secret in it",
        "FILE: mq.port = 0: a whole number from 1 to 65535",
        f'{dotenv}: ARIMONITOR_MQ__WINDOW: mq.window = "x": a whole number from 1 to 100000',
        'ARIMONITOR_LOG__LEVEL: log.level = "LOUD": one of "DEBUG", "INFO", "WARNING", "ERROR"',
    ]


def test_dotenv_lines() -> None:
    text = (
        "# comment\n\nA=1\r\nexport B = two words # comment\nC='single # no comment' # comment\n"
        'D="a\\n$HOME"\nE=\nF=#c\nG=a#b\nno\n=x\nH="open\nI="a" b\n'
    )
    values, bad = parse_dotenv(text)
    assert values == {
        "A": "1",
        "B": "two words",
        "C": "single # no comment",
        "D": "a\\n$HOME",
        "E": "",
        "F": "",
        "G": "a#b",
    }
    assert [number for number, _ in bad] == [10, 11, 12, 13]


def check_is_clear(path: Path | None, environ: dict[str, str]) -> None:
    """Settings come of it, or an error of printable lines without the secret."""
    found: tuple[str, ...] = ()
    try:
        read(path, environ)
    except ConfigurationError as error:
        found = error.problems
        assert found, "an error without a problem"
    assert SECRET not in " ".join(found)
    assert all(line and line.isprintable() for line in found)


PIECES = st.sampled_from(
    [
        *(b"[mq]", b"[[mq]]", b"[asterisk]", b"[[asterisk]]", b"[mail.imap]", b"[[mail.sender]]", b"[node]"),
        *(b'password = "xyzzy-plugh"', b"password = xyzzy-plugh", b'password = ["xyzzy-plugh"]'),
        *(b'password = {a = "xyzzy-plugh"}', b'passwrod = "xyzzy-plugh"', b'password = "enc:xyzzy-plugh"'),
        *(b"password_file = ", b'name = "voip3"', b"port = ", b"5672", b"-1", b"0xffffffffffffffffffffffff"),
        *(b"1979-05-27", b"nan", b"[[[", b"=", b'"', b"'''", b"\xff", b"\x00", b"\xef\xbb\xbf", b"\n", b"\n"),
        *(b"data_dir = ", b"'/x'", b"mq.x.y = 1", b"whitelist = [1, [2]]", b"#", b"{", b"}", b"host = "),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.lists(PIECES, max_size=30).map(b" ".join), st.lists(PIECES).map(b"\n".join), st.binary()))
def test_any_bytes_are_settings_or_a_clear_error(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    check_is_clear(file, {})


WORDS = [
    "MQ",
    "ASTERISK",
    "MAIL",
    "SENDER",
    "IMAP",
    "v",
    "",
    "PASSWORD",
    "PORT",
    "URL",
    "a b",
    "S3",
    "\udcff",
]
NAMES = st.lists(st.sampled_from(WORDS)).map(lambda parts: "ARIMONITOR_" + "__".join(parts))
VALUES = st.one_of(st.sampled_from(["1", "[", "[1]", "x\n\udc80"]), st.text())


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_environment_is_settings_or_a_clear_error(environ: dict[str, str]) -> None:
    environ = {name: SECRET if name.endswith("PASSWORD") else value for name, value in environ.items()}
    check_is_clear(None, environ)

"""Files between hosts: 200 MB to and from a real sshd, against OpenSSH's own `sftp` with the same cipher.

    python -m tests.bench sftp
    python -m tests.bench.bench_sftp {put|get} SSHD-AS-JSON FOLDER      one contestant

Counted, for both sides: a login, the transfer, the name that it gets at the
end. Ours also: the start of its child process, SHA-256 here, and SHA-256 at the
far end (`sha256sum` through etc/ssh/arimonitor-gate), compared. Neither syncs
the disk. The connection of the daemon itself is open before, as it is when
many files are moved; its opening is a row of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.report import ROOT, Row, Ticker, Unavailable, aim, contestant

SIZE = 200_000_000
ROUNDS = 7
CIPHER = "aes128-gcm@openssh.com"
RATIO, LAG = 0.75, 20.0


def part() -> list[Row]:
    """The rows of this part."""
    from tests.servers import sshd

    if (reason := sshd.unavailable_reason()) is not None:
        raise Unavailable(reason)
    if shutil.which("sftp") is None:
        raise Unavailable("sftp is not installed (Debian package openssh-client)")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name, sshd.Sshd() as server:
        folder = Path(name)
        (folder / "source").write_bytes(os.urandom(SIZE))
        server.restrict(f'restrict,command="{_gate(folder)}"')
        for kind in ("put", "get"):
            rows += _rows(kind, *_in_turns(server, kind, folder))
        server.restrict('restrict,command="internal-sftp"')
        theirs, ours = _in_turns(server, "put", folder)
        slow = statistics.median(each["seconds"] for each in ours)
        ratio = f"{statistics.median(theirs) / slow:.2f}x"
        rows.append(Row("put where the key may run nothing: read back", f"{_rate(slow)} MB/s", ratio, "sftp"))
    return rows


def _in_turns(server: Any, kind: str, folder: Path) -> tuple[list[float], list[dict[str, Any]]]:
    """Other work on the machine hits both alike."""
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(_sftp(server, kind, folder))
        ours.append(contestant("bench_sftp", kind, _described(server), folder))
    return theirs, ours


def _rows(kind: str, theirs: list[float], ours: list[dict[str, Any]]) -> list[Row]:
    yardstick = statistics.median(theirs)
    median = {key: statistics.median(each[key] for each in ours) for key in ours[0]}
    worst = max(each["lag_p99"] for each in ours)
    ratio = yardstick / median["seconds"]
    return [
        Row(f"yardstick: sftp {kind}, {CIPHER}", f"{_rate(yardstick)} MB/s"),
        aim(
            f"{kind}, SHA-256 compared at both ends",
            f"{_rate(median['seconds'])} MB/s",
            reached=ratio >= RATIO,
            ratio=f"{ratio:.2f}x",
            against=f"sftp, median of {ROUNDS} in turns; aim {RATIO:g}x",
        ),
        aim(
            f"hub lag meanwhile, p99 ({kind})",
            f"{median['lag_p99']:.1f} ms",
            reached=median["lag_p99"] < LAG,
            ratio=f"max {max(each['lag_max'] for each in ours):.0f} ms",
            against=f"before it began {median['idle_p99']:.1f} ms, worst run {worst:.1f} ms; aim {LAG:g} ms",
        ),
        Row("the daemon's own connection", f"{median['open'] * 1000:.0f} ms", "", "once for many files"),
    ]


def _rate(seconds: float) -> str:
    return f"{SIZE / seconds / 1e6:.0f}"


def _gate(folder: Path) -> Path:
    gate = folder / "gate"
    shutil.copy(ROOT / "etc/ssh/arimonitor-gate", gate)
    gate.chmod(0o755)
    return gate


def _described(server: Any) -> str:
    return json.dumps(server.settings())


def _sftp(server: Any, kind: str, folder: Path) -> float:
    options = {
        "UserKnownHostsFile": server.known_hosts, "StrictHostKeyChecking": "yes",
        "IdentityFile": server.key, "IdentitiesOnly": "yes", "Ciphers": CIPHER,
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    command = ["sftp", "-F", "/dev/null", "-q", "-b", "-", *words, "-P", str(server.port)]
    began = time.perf_counter()
    subprocess.run(
        [*command, f"{server.user}@{server.host}"],
        input=f"{kind} {folder}/source {folder}/theirs\n".encode(), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    (folder / "theirs").unlink()
    return seconds


def _ours(kind: str, known: dict[str, Any], folder: Path) -> dict[str, Any]:
    from ssh.connection import Connection, Place
    from ssh.transfer import Files

    place = Place(**{**known, "key_file": Path(known["key_file"]), "known_hosts": Path(known["known_hosts"])})
    began = time.perf_counter()
    with Connection.open(place) as connection:
        files = Files(connection)
        opened = time.perf_counter() - began
        source, target = folder / "source", folder / "ours"
        works: dict[str, Callable[[], object]] = {
            "put": lambda: files.put(source, str(target), deadline=120, replace=False, sync=False),
            "get": lambda: files.get(str(source), target, deadline=120, sync=False, verify=True),
        }
        ticker = Ticker()
        time.sleep(1.0)  # what is measured: the hub with nothing to do
        idle = ticker.end()["lag_p99"]
        ticker = Ticker()
        began = time.perf_counter()
        works[kind]()
        seconds = time.perf_counter() - began
        lag = ticker.end()
    target.unlink()
    return {"seconds": seconds, "open": opened, "idle_p99": idle, **lag}


def main() -> int:
    """One contestant; prints JSON."""
    from gevent import monkey

    monkey.patch_all()
    kind, described, folder = sys.argv[1:]
    print(json.dumps(_ours(kind, json.loads(described), Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A site without a CDR file: what it recorded tells of the calls that nobody saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.servers.asterisk.ari import PASSWORD, USER
from tests.servers.asterisk.bed import connect
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon, wait_until
from tests.system.sites import config

pytestmark = [pytest.mark.asterisk]


def ended(daemon: ArimonitorDaemon) -> list[dict[str, Any]]:
    return [line["body"] for line in daemon.messages() if line["type"] == "ended-call"]


def test_a_recorded_call_is_told_by_its_file(asterisk22: Asterisk, tmp_path: Path) -> None:
    spool = asterisk22.home / "var/spool/asterisk/monitor"
    site = {
        "name": "voip3",
        "url": asterisk22.url,
        "username": USER,
        "password": PASSWORD,
        "cdr": "",
        "recordings": str(spool),
    }
    a, b = asterisk22.register("1013010", "1013015")
    daemon = ArimonitorDaemon(tmp_path, config([site]))
    with daemon:
        daemon.connected()
    known = set(spool.rglob("*.wav"))
    caller, callee = connect(a, "1013015", b, ringing=0.2)

    def new_file() -> Path | None:
        return next((path for path in set(spool.rglob("*.wav")) - known if path.stat().st_size > 44), None)

    file = wait_until(new_file, "sound in the call's recording")
    caller.hangup()
    callee.wait("ended")
    with daemon:
        daemon.connected()
        wait_until(lambda: ended(daemon), "the call is told")
        (body,) = ended(daemon)
        assert body["operation"]["recovered"] is True
        assert file.name.endswith(f"-{body['data']['call']}.wav")
        assert body["data"]["recordings"] == [file.name]
        assert (body["data"]["origin"], body["data"]["destiny"]) == ("1013010", "1013015")
        assert body["data"]["disposition"] == "ANSWERED"

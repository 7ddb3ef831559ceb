"""PJSIP hangs while ARI answers: said, and over when it is over."""

from __future__ import annotations

from pathlib import Path

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ami import END, LOGIN, ONE, START, answering, serve
from tests.servers.fake_ari import FakeAri
from tests.system.sites import asterisk, config


def test_pjsip_hangs_and_answers_again(tmp_path: Path) -> None:
    answers = dict(LOGIN)  # lets us in, and then says nothing
    with FakeAri() as fake, serve(lambda connection: answering(connection, answers, [])) as ami:
        site = asterisk(fake, ami=f"127.0.0.1:{ami.getsockname()[1]}", ami_password="a-secret")
        with ArimonitorDaemon(tmp_path, config([site])) as daemon:
            daemon.says("PJSIP is stuck while ARI answers; phones can neither register nor call")
            assert "a-secret" not in daemon.log_text()
            assert daemon.notices()["pjsip voip3"].endswith("PJSIP is stuck while ARI answers")
            answers["PJSIPShowContacts"] = START + ONE + END
            daemon.ctl("endpoints")
            assert "pjsip voip3" not in daemon.notices()

"""When a gap ends: only once Asterisk could be asked, and only while events come; and who went unseen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.ari.inbox import Check, Lost, Opened, Wanted
from daemon.ari.reconciler import Reconciler
from daemon.ari.rest import AriUnavailable
from daemon.calls.model import Answered, Ended, Gap, Received
from daemon.calls.recorded import Recorded, parse
from daemon.calls.tracker import Tracker
from daemon.errors import TransientError

CHANNEL = {
    "id": "1.1",
    "name": "PJSIP/1013010-00000001",
    "state": "Up",
    "caller": {"name": "", "number": "1013010"},
    "connected": {"name": "", "number": ""},
    "dialplan": {"context": "phones", "exten": "900", "priority": 1, "app_name": "Echo", "app_data": ""},
    "creationtime": "1970-01-01T00:15:00.000+0000",
    "channelvars": {"CHANNEL(linkedid)": "1.1", "MIXMONITOR_FILENAME": ""},
}


ROW = (
    '"","1013010","1013015","phones","1013010","PJSIP/1013010-00000001","PJSIP/1013015-00000002","Dial",'
    '"PJSIP/1013015","2026-11-18 11:23:25","2026-11-18 11:23:27","2026-11-18 11:23:32",7,5,"ANSWERED",'
    '"DOCUMENTATION","1795000985.1",""\n'
)
Recordings = Callable[[int, int], Sequence[Recorded]]


class Rest:
    """An Asterisk with these channels; refuses as often as it is told."""

    def __init__(self, refusals: int = 0, channels: Sequence[str] = ()) -> None:
        self.refusals = refusals
        self.alive = list(channels)
        self.asked = 0

    def channels(self) -> list[Any]:
        self.asked += 1
        if self.asked <= self.refusals:
            raise AriUnavailable("it hangs")
        return [{**CHANNEL, "id": id_} for id_ in self.alive]

    def bridges(self) -> list[Any]:
        return []

    def channel_variable(self, channel_id: str, name: str) -> str | None:
        return None


class Site:
    """A reconciler, its tracker, and a clock."""

    def __init__(
        self,
        rest: Rest,
        cdr: Callable[[], Path] | None = None,
        now: float = 1000.0,
        recorded: Recordings | None = None,
    ) -> None:
        self.now = now
        self.tracker = Tracker("pbx", is_endpoint=str.isdigit)
        self.reconciler = Reconciler(
            "pbx",
            self.tracker,
            rest,
            cdr,
            recorded,
            str.isdigit,
            list,
            clock=lambda: self.now,
        )

    def check(self, seconds: float = 0.0) -> Sequence[object]:
        """What a check tells, so many seconds later."""
        self.now += seconds
        return self.reconciler.on_mark(Check())


def test_a_gap_stays_open_until_asterisk_can_be_asked() -> None:
    site = Site(Rest())
    reconciler = site.reconciler
    reconciler.on_mark(Opened(900, 1))
    reconciler.on_mark(Lost(990, "cut", 980))
    assert site.check() == (), "not connected"
    reconciler.rest = Rest(refusals=6)
    assert reconciler.on_mark(Opened(995, 2)) == ()
    assert site.check() == ()
    assert reconciler.gaps == 0
    (gap,) = site.check()
    assert gap == Gap(980_000, 1_000_000, "the connection was lost: cut", 0)
    assert reconciler.gaps == 1
    assert site.check() == ()


def test_while_it_is_not_connected_nothing_is_reconciled() -> None:
    rest = Rest()
    reconciler = Site(rest).reconciler
    reconciler.on_mark(Opened(900, 1))
    reconciler.on_mark(Lost(990, "cut", 980))
    asked = rest.asked
    wanted = Wanted(None)
    assert reconciler.on_mark(wanted) == ()
    assert wanted.done.is_set()
    assert wanted.result == "pbx is not connected: it will be reconciled when it is"
    assert rest.asked == asked
    assert [type(told) for told in reconciler.on_mark(Opened(995, 2))] == [Gap]


def test_what_asterisk_kept_for_us_is_no_gap() -> None:
    rest = Rest()
    reconciler = Site(rest).reconciler
    reconciler.on_mark(Opened(900, 1))
    asked = rest.asked
    reconciler.on_mark(Lost(990, "stopping", 980))
    assert reconciler.on_mark(Opened(995, 2, complete=True)) == ()
    assert rest.asked == asked
    assert reconciler.gaps == 0


def test_a_connection_that_missed_nothing_does_not_close_an_earlier_gap() -> None:
    """The gap before it was never asked about: only a reconciliation ends it."""
    site = Site(Rest())
    reconciler = site.reconciler
    reconciler.on_mark(Opened(900, 1))
    reconciler.on_mark(Lost(950, "cut", 940))
    reconciler.rest = Rest(refusals=3)
    assert reconciler.on_mark(Opened(955, 2)) == ()
    assert (reconciler.undone, reconciler.since) == (True, 940)
    reconciler.on_mark(Lost(980, "stopping", 970))
    assert reconciler.on_mark(Opened(995, 3, complete=True)) == [
        Gap(940_000, 1_000_000, "the connection was lost: cut", 0)
    ]
    assert (reconciler.undone, reconciler.since) == (False, None)


def test_a_channel_that_went_without_a_word_is_found() -> None:
    """Twice in a row it must be missing: its end may just be on its way. That is no gap."""
    rest = Rest(channels=["1.1"])
    site = Site(rest)
    site.reconciler.on_mark(Opened(900, 1))
    assert site.tracker.open_legs() == ["1.1"]
    rest.alive = []
    assert site.check(299) == (), "too early"
    assert site.check(1) == ()
    assert site.tracker.open_legs() == ["1.1"]
    told = list(site.check(300))
    assert site.tracker.open_legs() == []
    told += site.tracker.tick(site.now + 10)
    assert [type(fact) for fact in told] == [Ended]
    assert site.reconciler.gaps == 0


def test_a_channel_that_is_there_again_is_not_suspected() -> None:
    rest = Rest(channels=["1.1"])
    site = Site(rest)
    site.reconciler.on_mark(Opened(900, 1))
    gone: list[str] = []
    for alive in (gone, ["1.1"], gone, ["1.1"]):
        rest.alive = alive
        assert site.check(300) == ()
    assert site.tracker.open_legs() == ["1.1"]


def test_a_row_that_is_written_late_is_found(tmp_path: Path) -> None:
    cdr = tmp_path / "Master.csv"
    cdr.touch()
    site = Site(Rest(), lambda: cdr, now=1_795_001_000.0)
    site.reconciler.on_mark(Opened(1_795_000_900, 1))
    site.reconciler.on_mark(Lost(1_795_000_990, "cut", 1_795_000_980))
    assert [type(told) for told in site.reconciler.on_mark(Opened(1_795_000_995, 2))] == [Gap]
    cdr.write_text(ROW)
    assert site.check(19) == ()
    assert [type(told) for told in site.check(1)] == [Received, Answered, Ended]
    assert site.check(20) == (), "once"


def spool(*uniqueids: str) -> Recordings:
    """A spool with five seconds of each of these calls."""
    files = [
        parse(f"internal-1013010-1013015-20261118-112305-{each}.wav", 80_044, 1_795_000_992_000)
        for each in uniqueids
    ]
    return lambda since, now: [file for file in files if file is not None and since <= file.created <= now]


def test_without_a_cdr_the_recordings_tell_of_missed_calls() -> None:
    site = Site(Rest(), now=1_795_001_000.0, recorded=spool("1795000985.1", "1795000100.1"))
    site.reconciler.on_mark(Opened(1_795_000_900, 1))
    site.reconciler.on_mark(Lost(1_795_000_990, "cut", 1_795_000_980))
    received, answered, ended, gap = site.reconciler.on_mark(Opened(1_795_000_995, 2))
    assert isinstance(received, Received)
    assert (received.call, received.origin, received.destiny) == ("1795000985.1", "1013010", "1013015")
    assert isinstance(answered, Answered)
    assert isinstance(ended, Ended)
    assert ended.recordings == ("internal-1013010-1013015-20261118-112305-1795000985.1.wav",)
    assert gap == Gap(1_795_000_980_000, 1_795_001_000_000, "the connection was lost: cut", 1)


def test_with_a_cdr_a_recording_is_believed_alone_only_once_the_rows_are_there(tmp_path: Path) -> None:
    """It gives the CDR's call its file; a call without a row (a killed Asterisk writes none) comes later."""
    cdr = tmp_path / "Master.csv"
    cdr.write_text(ROW)
    site = Site(Rest(), lambda: cdr, now=1_795_001_000.0, recorded=spool("1795000985.1", "1795000986.3"))
    site.reconciler.on_mark(Opened(1_795_000_900, 1))
    site.reconciler.on_mark(Lost(1_795_000_990, "cut", 1_795_000_980))
    _, _, ended, _ = site.reconciler.on_mark(Opened(1_795_000_995, 2))
    assert isinstance(ended, Ended)
    assert (ended.call, len(ended.recordings)) == ("1795000985.1", 1)
    late = [fact.call for fact in site.check(20) if isinstance(fact, Received)]
    assert late == ["1795000985.1", "1795000986.3"], "the outbox knows the first by its id"


def test_a_spool_that_cannot_be_read_costs_nothing_else() -> None:
    def broken(since: int, now: int) -> Sequence[Recorded]:
        raise PermissionError(13, "Permission denied", "/spool")

    site = Site(Rest(), recorded=broken)
    site.reconciler.on_mark(Opened(900, 1))
    site.reconciler.on_mark(Lost(990, "cut", 980))
    assert [type(told) for told in site.reconciler.on_mark(Opened(995, 2))] == [Gap]


def test_a_cdr_that_cannot_be_had_is_read_when_it_can(tmp_path: Path) -> None:
    """It is on another machine, which is away: the call is told once it is back."""
    file = tmp_path / "Master.csv"
    file.write_text(
        '"","100","101","ctx","","PJSIP/100-1","PJSIP/101-2","Dial","x","2026-01-01 00:00:00",,'
        '"2026-01-01 00:00:10",10,0,"NO ANSWER","DOCUMENTATION","1000000990.7",""\n'
    )
    away = True

    def cdr() -> Path:
        if away:
            raise TransientError("gv1p can't be reached")
        return file

    site = Site(Rest(), cdr=cdr, now=1_000_001_000.0)
    site.reconciler.on_mark(Opened(1_000_000_900, 1))
    site.reconciler.on_mark(Lost(1_000_000_985, "cut", 1_000_000_980))
    (gap,) = site.reconciler.on_mark(Opened(1_000_000_999, 2))
    assert isinstance(gap, Gap)
    assert not site.check(21)
    assert not site.check(30), "not asked again yet"
    away = False
    told = site.check(31)
    assert [type(fact).__name__ for fact in told] == ["Received", "Ended"]
    assert not site.check(3600), "once"

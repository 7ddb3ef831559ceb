"""Plain calls: answered, not answered, refused, cancelled; digits, hold; Asterisk going away."""

from .ari import until
from .bed import Bed, connect, scenario, talk


@scenario()
def answered(bed: Bed) -> None:
    """1013010 calls 1013015; it rings 2 s, they talk 5 s, the caller hangs up."""
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "1013015", called, ringing=2)
    talk(5)
    call.hangup()
    other.wait("ended")


@scenario()
def answered_callee_hangs_up(bed: Bed) -> None:
    """1013011 calls 1013014, which answers after 1.5 s and hangs up after 3 s."""
    caller, called = bed.phones(11, 14)
    call, other = connect(caller, "1013014", called, ringing=1.5)
    talk(3)
    other.hangup()
    call.wait("ended")


@scenario()
def no_answer(bed: Bed) -> None:
    """1013010 calls 1013015, which rings for the 20 s of Dial."""
    caller, called = bed.phones(10, 15)
    call = caller.dial("1013015")
    called.incoming().wait("ended")
    call.wait("ended")


@scenario()
def busy(bed: Bed) -> None:
    """1013010 calls 1013015, which is busy (486)."""
    caller, called = bed.phones(10, 15)
    called.refuses = 486
    caller.dial("1013015").wait("ended")


@scenario()
def declined(bed: Bed) -> None:
    """1013010 calls 1013015, whose user rejects it after 1 s (603)."""
    caller, called = bed.phones(10, 15)
    call = caller.dial("1013015")
    ringing = called.incoming()
    talk(1)
    ringing.hangup()
    call.wait("ended")


@scenario()
def unavailable(bed: Bed) -> None:
    """1013010 calls 1013014, which is not registered."""
    caller, called = bed.phones(10, 14)
    called.register(0)
    talk(0.5)
    caller.dial("1013014").wait("ended")
    called.register()


@scenario()
def unknown_number(bed: Bed) -> None:
    """1013010 calls 5550000: there is no such number."""
    bed.phone(10).dial("5550000").wait("ended")


@scenario()
def cancelled(bed: Bed) -> None:
    """1013010 calls 1013015 and gives up after 2 s of ringing."""
    caller, called = bed.phones(10, 15)
    call = caller.dial("1013015")
    ringing = called.incoming()
    talk(2)
    call.hangup()
    ringing.wait("ended")


@scenario()
def cancel_at_answer(bed: Bed) -> None:
    """1013010 calls 1013015 and gives up in the moment in which 1013015 answers."""
    _answer_and_cancel(bed, between=0)


@scenario()
def cancel_after_answer(bed: Bed) -> None:
    """1013010 calls 1013015 and gives up less than a millisecond after 1013015 answered."""
    _answer_and_cancel(bed, between=0.0006)


def _answer_and_cancel(bed: Bed, between: float) -> None:
    caller, called = bed.phones(10, 15)
    call = caller.dial("1013015")
    ringing = called.incoming()
    talk(2)
    ringing.answer()
    talk(between)
    call.cancel()
    call.wait("ended")
    ringing.wait("ended")


@scenario()
def caller_hangs_up_before_dial(bed: Bed) -> None:
    """1013010 calls 633, where nothing rings for the first 5 s, and gives up after 2 s."""
    call = bed.phone(10).dial("633")
    talk(2)
    call.hangup()


@scenario()
def dtmf(bed: Bed) -> None:
    """1013010 calls 1013015, presses 1 2 3 4 # (RTP events), hangs up."""
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "1013015", called)
    talk(1)
    call.press("1234#", gap=0.3)
    talk(1)
    call.hangup()
    other.wait("ended")


@scenario()
def dtmf_info(bed: Bed) -> None:
    """The same with the digits as SIP INFO."""
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "1013015", called)
    talk(1)
    call.press_info("1234#")
    talk(1)
    call.hangup()
    other.wait("ended")


@scenario()
def hold(bed: Bed) -> None:
    """1013010 calls 1013015, holds after 1.5 s, resumes 1.5 s later, hangs up after 1.5 s more."""
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "1013015", called)
    talk(1.5)
    call.hold()
    talk(1.5)
    call.resume()
    talk(1.5)
    call.hangup()
    other.wait("ended")


@scenario()
def through_local(bed: Bed) -> None:
    """1013010 calls 91013015: Dial of a Local channel which dials 1013015; answered, 3 s, the caller hangs
    up.
    """
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "91013015", called)
    talk(3)
    call.hangup()
    other.wait("ended")


@scenario()
def local_forward_chain(bed: Bed) -> None:
    """1013010 calls 631: a Local channel, that dials a Local channel, that dials 1013015; answered, 3 s,
    the called one hangs up.
    """
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "631", called)
    talk(3)
    other.hangup()
    call.wait("ended")


@scenario()
def to_application(bed: Bed) -> None:
    """1013010 calls 600 (Echo), a call with one leg, and hangs up after 2 s."""
    call = bed.phone(10).dial("600").wait("answered")
    talk(2)
    call.hangup()


@scenario()
def callerid_changed(bed: Bed) -> None:
    """1013010 calls 632; the dialplan makes its number 5550100, then dials 1013015; answered, 3 s, the
    caller hangs up.
    """
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "632", called)
    talk(3)
    call.hangup()
    other.wait("ended")


@scenario()
def dial_option_g(bed: Bed) -> None:
    """1013010 calls 635; 1013015 answers and hangs up after 2 s; the caller still hears an announcement of
    2 s, then Asterisk hangs up.
    """
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "635", called)
    talk(2)
    other.hangup()
    call.wait("ended")


@scenario()
def thirty_calls(bed: Bed) -> None:
    """30 calls at once: 1013010, 11, 12 call 1013013, 14, 15 ten times each, three calls every 0.3 s; 1 s
    ringing, 10 s talk, the callers hang up.
    """
    groups = []
    for n in range(13):
        if n < 10:
            groups.append(
                [(bed.phone(m).dial(f"10130{m + 3}"), bed.phone(m + 3).incoming()) for m in (10, 11, 12)]
            )
        talk(0.3)
        if n >= 3:
            for _, other in groups[n - 3]:
                other.answer()
    talk(7)
    for group in groups:
        for call, other in group:
            call.wait("answered", 1)
            call.hangup()
            other.wait("ended")
        talk(0.3)


@scenario(restarts=True)
def killed(bed: Bed) -> None:
    """1013010-1013015 and 1013011-1013014 talk; Asterisk is killed after 4 s and started again 3 s later;
    then 1013010 calls 1013015 for 2 s.
    """
    callers, called = bed.phones(10, 11), bed.phones(15, 14)
    for caller, other in zip(callers, called, strict=True):
        connect(caller, other.number, other)
    talk(4)
    bed.server.kill()
    talk(3)
    _again(bed)
    answered_call, other_end = connect(callers[0], "1013015", called[0])
    talk(2)
    answered_call.hangup()
    other_end.wait("ended")


@scenario(restarts=True)
def stopped(bed: Bed) -> None:
    """1013010 and 1013015 talk; after 3 s Asterisk is stopped (core stop now) and started again."""
    caller, called = bed.phones(10, 15)
    connect(caller, "1013015", called)
    talk(3)
    bed.server.stop()
    _again(bed)


def _again(bed: Bed) -> None:
    for phone in bed.server.phones.values():
        phone.rest()
    bed.server.restart()
    until(lambda: all(r.connected.is_set() for r in bed.recorders), 15, "the recorders are not back")
    bed.server.register(*(n for n in bed.server.phones if n.startswith("10130")))

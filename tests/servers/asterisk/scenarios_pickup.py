"""Calls that somebody else takes: pickup, forwarding, parking."""

from .bed import Bed, connect, finish, scenario, talk


@scenario()
def pickup(bed: Bed) -> None:
    """1013010 calls 1013015, which rings 2 s; 1013012 dials *8 and has the call; 3 s later 1013010 hangs
    up.
    """
    caller, called, picker = bed.phones(10, 15, 12)
    call = caller.dial("1013015")
    ringing = called.incoming()
    talk(2)
    picked = picker.dial("*8").wait("answered")
    call.wait("answered")
    ringing.wait("ended")
    talk(3)
    call.hangup()
    finish(picked)


@scenario()
def pickup_directed(bed: Bed) -> None:
    """1013010 calls 1013015, which rings 2 s; 1013012 dials *81013015 (Pickup) and has the call; 3 s later
    1013012 hangs up.
    """
    caller, called, picker = bed.phones(10, 15, 12)
    call = caller.dial("1013015")
    ringing = called.incoming()
    talk(2)
    picked = picker.dial("*81013015").wait("answered")
    call.wait("answered")
    ringing.wait("ended")
    talk(3)
    picked.hangup()
    finish(call)


@scenario()
def pickup_from_queue(bed: Bed) -> None:
    """1013010 calls queue 800; 1013013 and 1013014 ring 2 s; 1013012 dials *8 and has the call; 3 s later
    1013010 hangs up.
    """
    caller, one, two, picker = bed.phones(10, 13, 14, 12)
    call = caller.dial("800").wait("answered")
    ringing = [one.incoming(), two.incoming()]
    talk(2)
    picked = picker.dial("*8").wait("answered")
    finish(*ringing)
    talk(3)
    call.hangup()
    finish(picked)


@scenario()
def forward_302(bed: Bed) -> None:
    """1013010 calls 1013015, which forwards to 1013012 (302); 1013012 answers after 1.5 s; 3 s later
    1013010 hangs up.
    """
    caller, called, target = bed.phones(10, 15, 12)
    called.forward = "1013012"
    call, other = connect(caller, "1013015", target, ringing=1.5)
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def forward_302_unanswered(bed: Bed) -> None:
    """1013010 calls 1013015, which forwards to 1013012 (302); 1013012 rings 20 s and nobody answers."""
    caller, called, target = bed.phones(10, 15, 12)
    called.forward = "1013012"
    call = caller.dial("1013015")
    target.incoming().wait("ended")
    finish(call)


@scenario()
def park_and_fetch(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; 1013010 parks 1013015 (blind transfer to 7000); 3 s later
    1013012 dials 7001 and has the call; 3 s later 1013012 hangs up.
    """
    caller, called, fetcher = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.transfer("7000")
    call.leave()
    talk(3)
    fetched = fetcher.dial(_parked_at(bed)).wait("answered")
    talk(3)
    fetched.hangup()
    finish(other)


@scenario()
def park_timeout(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; 1013010 parks 1013015; nobody fetches it for 8 s, so 1013010
    rings, answers after 1 s, hangs up after 3 s.
    """
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.transfer("7000")
    call.leave()
    back = caller.incoming()
    talk(1)
    back.answer()
    talk(3)
    back.hangup()
    finish(other)


def _parked_at(bed: Bed) -> str:
    """The place of the one parked call."""
    shown = bed.server.cli("parking show default")
    return next(line.split()[-1] for line in shown.splitlines() if line.strip().startswith("Space")).strip(
        " :*"
    )

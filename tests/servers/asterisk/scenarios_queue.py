"""Queues, conferences, menus, ring groups."""

from .bed import Bed, connect, finish, scenario, talk


@scenario()
def queue_answered(bed: Bed) -> None:
    """1013010 calls queue 800 (answered at once, recorded); 1013013 and 1013014 ring; 1013014 answers
    after 2 s; 4 s later 1013010 hangs up.
    """
    caller, silent, agent = bed.phones(10, 13, 14)
    call = caller.dial("800").wait("answered")
    missed, other = silent.incoming(), agent.incoming()
    talk(2)
    other.answer()
    missed.wait("ended")
    talk(4)
    call.hangup()
    finish(other)


@scenario()
def queue_rings_twice(bed: Bed) -> None:
    """1013010 calls queue 801 (one member after the other); 1013013 rings 4 s in vain, then 1013014 rings
    and answers after 2 s; 3 s later 1013014 hangs up.
    """
    caller, silent, agent = bed.phones(10, 13, 14)
    call = caller.dial("801").wait("answered")
    silent.incoming().wait("ended")
    other = agent.incoming()
    talk(2)
    other.answer()
    talk(3)
    other.hangup()
    finish(call)


@scenario()
def queue_abandoned(bed: Bed) -> None:
    """1013010 calls queue 800; 1013013 and 1013014 ring; after 4 s of waiting 1013010 hangs up."""
    caller, one, two = bed.phones(10, 13, 14)
    call = caller.dial("800").wait("answered")
    ringing = [one.incoming(), two.incoming()]
    talk(4)
    call.hangup()
    finish(*ringing)


@scenario()
def queue_timeout(bed: Bed) -> None:
    """1013010 calls queue 802; 1013013 and 1013014 ring; nobody answers for 8 s, Asterisk hangs up."""
    caller, one, two = bed.phones(10, 13, 14)
    call = caller.dial("802").wait("answered")
    ringing = [one.incoming(), two.incoming()]
    call.wait("ended")
    finish(*ringing)


@scenario()
def queue_local_members(bed: Bed) -> None:
    """1013010 calls queue 803, whose members are Local channels; 1013013 and 1013014 ring; 1013013 answers
    after 2 s; 3 s later 1013010 hangs up.
    """
    caller, agent, silent = bed.phones(10, 13, 14)
    call = caller.dial("803").wait("answered")
    other, missed = agent.incoming(), silent.incoming()
    talk(2)
    other.answer()
    missed.wait("ended")
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def queue_no_answer_app(bed: Bed) -> None:
    """1013010 calls queue 804, where the dialplan does not answer first; 1013013 and 1013014 ring; 1013013
    answers after 2 s; 3 s later 1013013 hangs up.
    """
    caller, agent, silent = bed.phones(10, 13, 14)
    call = caller.dial("804")
    other, missed = agent.incoming(), silent.incoming()
    talk(2)
    other.answer()
    call.wait("answered")
    missed.wait("ended")
    talk(3)
    other.hangup()
    finish(call)


@scenario()
def confbridge(bed: Bed) -> None:
    """1013010, 1013011 and 1013012 dial the room 610 one second apart; after 2 s together 1013010 leaves,
    2 s later 1013011, 2 s later 1013012.
    """
    calls = []
    for phone in bed.phones(10, 11, 12):
        calls.append(phone.dial("610").wait("answered"))
        talk(1)
    for call in calls:
        talk(2)
        call.hangup()


@scenario()
def confbridge_alone(bed: Bed) -> None:
    """1013010 dials the room 610, where nobody else is, and leaves after 4 s."""
    call = bed.phone(10).dial("610").wait("answered")
    talk(4)
    call.hangup()


@scenario()
def ivr_then_dial(bed: Bed) -> None:
    """1013010 calls the menu 620, presses 5 after 2 s; 1013015 rings 2 s and answers; 3 s later 1013010
    hangs up.
    """
    caller, called = bed.phones(10, 15)
    call = caller.dial("620").wait("answered")
    talk(2)
    call.press("5")
    other = called.incoming()
    talk(2)
    other.answer()
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def ivr_hangup(bed: Bed) -> None:
    """1013010 calls the menu 620 and hangs up after 2 s without a choice."""
    call = bed.phone(10).dial("620").wait("answered")
    talk(2)
    call.hangup()


@scenario()
def playback_then_dial(bed: Bed) -> None:
    """1013010 calls 621, hears an announcement of 2 s before any answer; then 1013015 rings 2 s and
    answers; 3 s later 1013010 hangs up.
    """
    caller, called = bed.phones(10, 15)
    call, other = connect(caller, "621", called, ringing=2)
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def ring_group(bed: Bed) -> None:
    """1013010 calls 700: 1013013, 14 and 15 ring; 1013014 answers after 2 s; 3 s later 1013010 hangs up."""
    caller, *members = bed.phones(10, 13, 14, 15)
    call = caller.dial("700")
    first, other, third = [member.incoming() for member in members]
    talk(2)
    other.answer()
    call.wait("answered")
    finish(first, third)
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def ring_group_unanswered(bed: Bed) -> None:
    """1013010 calls 700: 1013013, 14 and 15 ring 20 s, nobody answers."""
    caller, *members = bed.phones(10, 13, 14, 15)
    call = caller.dial("700")
    ringing = [member.incoming() for member in members]
    call.wait("ended")
    finish(*ringing)


@scenario()
def ring_group_cancelled(bed: Bed) -> None:
    """1013010 calls 700: 1013013, 14 and 15 ring; after 3 s 1013010 gives up."""
    caller, *members = bed.phones(10, 13, 14, 15)
    call = caller.dial("700")
    ringing = [member.incoming() for member in members]
    talk(3)
    call.hangup()
    finish(*ringing)


@scenario()
def ring_group_busy_all(bed: Bed) -> None:
    """1013010 calls 700: 1013013, 14 and 15 are all busy (486)."""
    caller, *members = bed.phones(10, 13, 14, 15)
    for member in members:
        member.refuses = 486
    caller.dial("700").wait("ended")


@scenario()
def follow_me(bed: Bed) -> None:
    """1013010 calls 630: 1013013 rings 5 s in vain, then 1013014 rings 2 s and answers; 3 s later 1013010
    hangs up.
    """
    caller, silent, called = bed.phones(10, 13, 14)
    call = caller.dial("630")
    silent.incoming().wait("ended")
    other = called.incoming()
    talk(2)
    other.answer()
    call.wait("answered")
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def call_busy_then_again(bed: Bed) -> None:
    """1013010 calls 634: 1013013 is busy, so the dialplan tries 1013014, which rings 2 s and answers; 3 s
    later 1013014 hangs up.
    """
    caller, engaged, called = bed.phones(10, 13, 14)
    engaged.refuses = 486
    call, other = connect(caller, "634", called, ringing=2)
    talk(3)
    other.hangup()
    finish(call)

"""The trunk, click to call, AMI; registrations."""

from .bed import Bed, connect, finish, scenario, talk


@scenario()
def trunk_in(bed: Bed) -> None:
    """+5511999990001 calls 1013015 through the trunk; it rings 2 s and answers; 4 s later the outside
    caller hangs up.
    """
    outside, called = bed.phones(0, 15)
    call, other = connect(outside, "1013015", called, ringing=2)
    talk(4)
    call.hangup()
    finish(other)


@scenario()
def trunk_out(bed: Bed) -> None:
    """1013010 calls 011999990002 through the trunk; it rings 2 s and is answered; 4 s later 1013010 hangs
    up.
    """
    caller, outside = bed.phones(10, 0)
    call, other = connect(caller, "011999990002", outside, ringing=2)
    talk(4)
    call.hangup()
    finish(other)


@scenario()
def trunk_in_to_queue(bed: Bed) -> None:
    """+5511999990001 calls queue 800 through the trunk; 1013013 and 1013014 ring; 1013013 answers after 2
    s; 3 s later the outside caller hangs up.
    """
    outside, agent, silent = bed.phones(0, 13, 14)
    call = outside.dial("800").wait("answered")
    other, missed = agent.incoming(), silent.incoming()
    talk(2)
    other.answer()
    missed.wait("ended")
    talk(3)
    call.hangup()
    finish(other)


@scenario()
def trunk_out_busy(bed: Bed) -> None:
    """1013010 calls 011999990002 through the trunk; the number is busy (486)."""
    caller, outside = bed.phones(10, 0)
    outside.refuses = 486
    caller.dial("011999990002").wait("ended")


@scenario()
def ami_bridge(bed: Bed) -> None:
    """1013010 talks with 1013015, 1013011 with 1013014; after 2 s AMI Bridge joins 1013010 and 1013011,
    the other two are hung up; 3 s later 1013010 hangs up.
    """
    one, two = (
        connect(bed.phone(10), "1013015", bed.phone(15)),
        connect(bed.phone(11), "1013014", bed.phone(14)),
    )
    talk(2)
    bed.ami("Bridge", Channel1=bed.channel(10), Channel2=bed.channel(11))
    finish(one[1], two[1])
    talk(3)
    one[0].hangup()
    finish(two[0])


@scenario()
def ami_redirect_called(bed: Bed) -> None:
    """1013010 talks with 1013015 for 2 s; AMI Redirect sends the leg of 1013015 to 1013012, 1013010 is
    hung up; 1013012 answers after 1.5 s and hangs up after 3 s.
    """
    call, other = connect(bed.phone(10), "1013015", bed.phone(15))
    talk(2)
    bed.ami("Redirect", Channel=bed.channel(15), Exten="1013012", Context="internal", Priority="1")
    third = bed.phone(12).incoming()
    finish(call)
    talk(1.5)
    third.answer()
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def ami_originate(bed: Bed) -> None:
    """AMI Originate: 1013010 rings 1.5 s and answers; then 1013015 rings, answers after 1.5 s and hangs up
    after 3 s.
    """
    agent, called = bed.phones(10, 15)
    bed.ami(
        "Originate",
        Channel="PJSIP/1013010",
        Exten="1013015",
        Context="internal",
        Priority="1",
        CallerID="1013010",
        Timeout="30000",
        Async="true",
    )
    call = agent.incoming()
    talk(1.5)
    call.answer()
    other = called.incoming()
    talk(1.5)
    other.answer()
    talk(3)
    other.hangup()
    finish(call)


@scenario()
def originate_app(bed: Bed) -> None:
    """AMI Originate of 1013010 into Playback: it rings 1.5 s, answers, hears 2 s of announcement, Asterisk
    hangs up.
    """
    agent = bed.phone(10)
    bed.ami(
        "Originate",
        Channel="PJSIP/1013010",
        Application="Playback",
        Data="menu",
        CallerID="1013010",
        Timeout="30000",
        Async="true",
    )
    call = agent.incoming()
    talk(1.5)
    call.answer()
    finish(call)


def click(bed: Bed, **more: str | int) -> None:
    bed.originate(
        **{
            "endpoint": "PJSIP/1013010",
            "extension": "1013015",
            "context": "internal",
            "priority": 1,
            "callerId": "1013010",
            "timeout": 30,
            **more,
        }
    )


@scenario()
def click_to_call(bed: Bed) -> None:
    """POST /channels rings 1013010 (own channel id), it answers after 1.5 s; then 1013015 rings, answers
    after 1.5 s and hangs up after 4 s.
    """
    _click_answered(bed, channelId=f"click-{bed.server.version}-1")


@scenario()
def click_to_call_no_callerid(bed: Bed) -> None:
    """POST /channels without callerId: 1013010 answers after 1.5 s; then 1013015 rings, answers after 1.5
    s and hangs up after 4 s.
    """
    _click_answered(bed, callerId="")


@scenario()
def click_to_call_through_local(bed: Bed) -> None:
    """POST /channels with endpoint Local/1013010@internal: 1013010 answers after 1.5 s; then 1013015
    rings, answers after 1.5 s and hangs up after 4 s.
    """
    _click_answered(bed, endpoint="Local/1013010@internal")


def _click_answered(bed: Bed, **more: str | int) -> None:
    agent, called = bed.phones(10, 15)
    click(bed, **more)
    call = agent.incoming()
    talk(1.5)
    call.answer()
    other = called.incoming()
    talk(1.5)
    other.answer()
    talk(4)
    other.hangup()
    finish(call)


@scenario()
def click_to_call_agent_silent(bed: Bed) -> None:
    """POST /channels rings 1013010, which does not answer within 4 s."""
    click(bed, timeout=4)
    bed.phone(10).incoming().wait("ended")


@scenario()
def click_to_call_callee_silent(bed: Bed) -> None:
    """POST /channels: 1013010 answers after 1.5 s; then 1013015 rings 20 s and nobody answers."""
    agent, called = bed.phones(10, 15)
    click(bed)
    call = agent.incoming()
    talk(1.5)
    call.answer()
    called.incoming().wait("ended")
    finish(call)


@scenario()
def click_to_call_callee_busy(bed: Bed) -> None:
    """POST /channels: 1013010 answers after 1.5 s; 1013015 is busy (486)."""
    agent, called = bed.phones(10, 15)
    called.refuses = 486
    click(bed)
    call = agent.incoming()
    talk(1.5)
    call.answer()
    finish(call)


@scenario(calls=False)
def register_expire(bed: Bed) -> None:
    """1013013 registers for 5 s and lets it expire; 1013014 registers, refreshes 1 s later, and
    unregisters after 1 s more.
    """
    one, two = bed.phones(13, 14)
    one.register(0)
    two.register(0)
    talk(1)
    one.register(5)
    two.register(60)
    talk(1)
    two.register(60)
    talk(1)
    two.register(0)
    talk(8)
    one.register()
    two.register()

"""Transfers, by the phone, by feature code, by AMI."""

from .bed import Bed, connect, finish, scenario, talk
from .call import Call
from .phone import Phone


def consult(first: Call, phone: Phone, target: Phone, *, answered: bool = True) -> tuple[Call, Call]:
    """The other side of `first` is put on hold, the target is called from the same phone."""
    first.hold()
    talk(0.5)
    second = phone.dial(target.number)
    other = target.incoming()
    talk(1)
    if answered:
        other.answer()
        second.wait("answered")
        talk(2)
    return second, other


@scenario()
def attended_transfer(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it holds, calls 1013012, they talk 2 s; it connects the two
    (REFER with Replaces) and leaves; 3 s later 1013012 hangs up.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    second, third = consult(call, caller, target)
    call.transfer_to(second)
    call.leave()
    second.leave()
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def attended_transfer_by_callee(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; 1013015 holds, calls 1013012, they talk 2 s; 1013015 connects
    the two and leaves; 3 s later 1013010 hangs up.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    second, third = consult(other, called, target)
    other.transfer_to(second)
    other.leave()
    second.leave()
    talk(3)
    call.hangup()
    finish(third)


@scenario()
def attended_transfer_ringing(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it holds, calls 1013012 and connects the two while 1013012
    still rings; 1013012 answers 1.5 s later and hangs up after 3 s.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    second, third = consult(call, caller, target, answered=False)
    call.transfer_to(second)
    call.leave()
    talk(1.5)
    third.answer()
    second.leave(1)
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def attended_transfer_feature_code(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it presses *2 1013012; 1013012 answers, they talk 2 s; 1013010
    hangs up, which connects the two; 3 s later 1013012 hangs up.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.press("*2")
    talk(1.5)
    call.press("1013012")
    third = target.incoming()
    talk(1)
    third.answer()
    talk(2)
    call.hangup()
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def attended_transfer_ami(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; AMI Atxfer of 1013010 to 1013012, which answers; they talk 2
    s; 1013010 hangs up, which connects the two; 3 s later 1013012 hangs up.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    bed.ami("Atxfer", Channel=bed.channel(10), Exten="1013012", Context="internal")
    third = target.incoming()
    talk(1)
    third.answer()
    talk(2)
    call.hangup()
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def blind_transfer(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it transfers 1013015 to 1013012 (REFER), which answers after
    1.5 s and hangs up after 3 s.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.transfer("1013012")
    third = target.incoming()
    call.leave(1)
    talk(0.5)
    third.answer()
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def blind_transfer_by_callee(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; 1013015 transfers 1013010 to 1013012 (REFER), which answers
    after 1.5 s; 3 s later 1013010 hangs up.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    other.transfer("1013012")
    third = target.incoming()
    other.leave(1)
    talk(0.5)
    third.answer()
    talk(3)
    call.hangup()
    finish(third)


@scenario()
def blind_transfer_feature_code(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it presses ## 1013012 and is out; 1013012 answers after 1.5 s
    and hangs up after 3 s.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.press("##")
    talk(1.5)
    call.press("1013012")
    third = target.incoming()
    call.leave(1)
    talk(0.5)
    third.answer()
    talk(3)
    third.hangup()
    finish(other)


@scenario()
def blind_transfer_unanswered(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it transfers 1013015 to 1013012 (REFER), which rings 20 s and
    nobody answers.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.transfer("1013012")
    third = target.incoming()
    call.leave()
    third.wait("ended")
    finish(other)


@scenario()
def hold_then_transfer(bed: Bed) -> None:
    """1013010 calls 1013015; they talk 2 s; it holds for 2 s, then transfers 1013015 to 1013012 (REFER),
    which answers after 1.5 s and hangs up after 3 s.
    """
    caller, called, target = bed.phones(10, 15, 12)
    call, other = connect(caller, "1013015", called)
    talk(2)
    call.hold()
    talk(2)
    call.transfer("1013012")
    third = target.incoming()
    call.leave(1)
    talk(0.5)
    third.answer()
    talk(3)
    third.hangup()
    finish(other)

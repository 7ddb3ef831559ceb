"""Who vouches for a sender: interfaces 6, 'Authentic'."""
# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

import pytest

from daemon.mail.authenticity import is_authentic

ID = "mx.example.com"
OURS = "Authentication-Results: mx.example.com; "
FOREIGN = "Authentication-Results: relay.example.net; dmarc=pass header.from=example.com"
BY_US = "Received: from out.example.com ([203.0.113.7]) by mx.example.com with ESMTPS id 1; Mon, 27 Oct 2025 08:00:00 -0300"
BY_OTHERS = "Received: from x.example.net by relay.example.net with ESMTP; Mon, 27 Oct 2025 08:00:00 -0300"
BY_GMAIL = "Received: by 2002:a05:6a10:1234:b0:1:2:3 with SMTP id x1; Mon, 27 Oct 2025 04:00:00 -0700 (PDT)"


AUTHENTIC = [
    [OURS + "dmarc=pass header.from=example.com"],
    [OURS + "dmarc=pass (p=reject sp=none dis=none) header.from=example.com"],
    [OURS + "DMARC=Pass header.from=EXAMPLE.com"],
    [OURS + "dmarc=pass"],
    [
        OURS
        + "spf=pass smtp.mailfrom=person@example.com; dkim=pass header.d=example.com header.s=s1; dmarc=pass"
    ],
    ["Authentication-Results: MX.Example.COM 1; dmarc=pass header.from=example.com"],
    ["Authentication-Results: (ours) mx.example.com (yes); dmarc=pass (ok)"],
    # dkim=pass, aligned
    [OURS + "dkim=pass header.d=example.com"],
    [OURS + "dkim=pass header.i=@example.com header.b=abc"],
    [OURS + "dkim=pass header.i=person@example.com"],
    [OURS + 'dkim=pass header.d="example.com"'],
    [OURS + "dkim=fail header.d=example.com; dkim=pass header.d=example.com"],
    [OURS + "dkim=pass (2048-bit key; unprotected) header.d=example.com"],
    [OURS + "dkim/1=pass header.d=example.com"],
    # foreign ones above ours are ignored; our own hosts' Received may stand above it
    [FOREIGN.replace("pass", "fail"), OURS + "dmarc=pass"],
    [BY_US, OURS + "dmarc=pass"],
    [BY_US.replace("by mx.", "by inner.mx."), OURS + "dmarc=pass"],
    [BY_GMAIL, OURS + "dmarc=pass", BY_US, BY_OTHERS],
    ["Received: from mx.example.com by localhost with LMTP", OURS + "dmarc=pass"],
    # the top one counts
    [OURS + "dmarc=pass", OURS + "dmarc=fail"],
]
NOT_AUTHENTIC = [
    [],
    ["Authentication-Results:"],
    [OURS + "none"],
    # spf alone, bestguesspass
    [OURS + "spf=pass smtp.mailfrom=person@example.com"],
    [OURS + "dmarc=bestguesspass header.from=example.com"],
    [OURS + "dmarc=fail; spf=pass"],
    [OURS + "dmarc=none"],
    [OURS + "arc=pass"],
    # dkim of somebody else
    [OURS + "dkim=pass header.d=example.net"],
    [OURS + "dkim=pass header.d=evilexample.com"],
    [OURS + "dkim=pass header.d=example.com.example.net"],
    [OURS + "dkim=pass header.d=com"],
    [OURS + "dkim=pass header.d=.com"],
    [OURS + "dkim=pass"],
    [OURS + "dkim=pass header.s=example.com"],
    [OURS + "dkim=pass header.d=example.net header.i=@example.com"],
    [OURS + "dkim=fail header.d=example.com; dkim=pass header.d=example.net"],
    [OURS + "dmarc=pass header.from=example.net"],
    # another id's
    [FOREIGN],
    ["Authentication-Results: mx.example.com.example.net; dmarc=pass"],
    ["Authentication-Results: xmx.example.com; dmarc=pass"],
    ["Authentication-Results: dmarc=pass"],
    # ours below a foreign Received
    [BY_OTHERS, OURS + "dmarc=pass"],
    [BY_US, BY_OTHERS, OURS + "dmarc=pass"],
    ["Received: from mx.example.com (mx.example.com) by relay.example.net", OURS + "dmarc=pass"],
    ["Received: from x.example.net by 203.0.113.9 with ESMTP", OURS + "dmarc=pass"],
    ["Received: from x (by mx.example.com) by evilmx.example.com", OURS + "dmarc=pass"],
    ["Received: whatever", OURS + "dmarc=pass"],
    # the top one counts
    [OURS + "dmarc=fail", OURS + "dmarc=pass"],
    # hidden in comments and quotes
    [OURS + "spf=pass (dmarc=pass) smtp.mailfrom=x"],
    [OURS + "spf=pass (;dmarc=pass;) smtp.mailfrom=x"],
    [OURS + 'spf=pass reason="; dmarc=pass; "'],
    [OURS + 'spf=pass smtp.mailfrom="x; dmarc=pass"@example.net'],
    [OURS + "spf=pass (a \\) ; dmarc=pass ; b)"],
    [OURS + "x-dmarc=pass"],
    [OURS + "dmarc=passed"],
]


def _trace(lines: list[str]) -> list[tuple[str, str]]:
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


@pytest.mark.parametrize("lines", AUTHENTIC)
def test_authentic(lines: list[str]) -> None:
    assert is_authentic(_trace(lines), ID, "person@example.com")


@pytest.mark.parametrize("lines", NOT_AUTHENTIC)
def test_not_authentic(lines: list[str]) -> None:
    assert not is_authentic(_trace(lines), ID, "person@example.com")


def test_a_domain_above_the_senders_is_aligned_and_one_below_is_not() -> None:
    above = _trace([OURS + "dkim=pass header.d=example.com"])
    assert is_authentic(above, ID, "person@mail.example.com")
    below = _trace([OURS + "dkim=pass header.d=mail.example.com"])
    assert not is_authentic(below, ID, "person@example.com")


def test_without_an_id_nothing_is_checked() -> None:
    assert is_authentic([], "", "person@example.com")

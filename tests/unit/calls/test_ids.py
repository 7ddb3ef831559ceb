"""The identity of a fact: the same for everyone who saw it, another for every other fact."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.calls.ids import fact_id

# By hand, without this code: what is hashed, in a shell,
#   printf '\0\0\0\5voip3\0\0\0\015''1761562800.42\0\0\0\015received-call' | sha256sum
#   -> 4444331d 7667f23c c42a...  (the first 10 bytes count)
# version: 4444 -> 7444; variant: the top two bits of 331d become 10 -> b31d;
# printf '%012x' 1761562800000 -> 019a25532f80.
VECTORS = [
    (
        ("voip3", "1761562800.42", "received-call", 1761562800120),
        "019a2553-2f80-7444-b31d-7667f23cc42a",
    ),
    # printf '...\0\0\0\4dtmf\0\0\0\015''1761562800.42\0\0\0\015''1761562805250\0\0\0\1#'
    # -> b9f2053ad197a67e657a...
    (
        ("voip3", "1761562800.42", "dtmf", 1761562800120, "1761562800.42", "1761562805250", "#"),
        "019a2553-2f80-79f2-853a-d197a67e657a",
    ),
    # No call, and a name that is longer in UTF-8 than in characters (7 bytes):
    # printf '\0\0\0\7Servi\xc3\xa7\0\0\0\0\0\0\0\013monitor-gap\0\0\0\6AUDIO2\0\0\0\015''1761562800120'
    (
        ("Serviç", "", "monitor-gap", 1761562800120, "AUDIO2", "1761562800120"),
        "019a2553-2f80-76e8-a311-92f3f8d3de87",
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), VECTORS)
def test_vectors(arguments, expected):
    assert fact_id(*arguments) == expected


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
times = st.integers(min_value=0, max_value=253402300799999)
facts = st.tuples(texts, texts, texts, times, st.lists(texts, max_size=4))


def made(fact) -> str:
    server, call, type_, created, parts = fact
    return fact_id(server, call, type_, created, *parts)


@given(facts)
def test_is_a_uuid_of_version_7(fact):
    id_ = UUID(made(fact))
    assert id_.version == 7
    assert id_.variant == "specified in RFC 4122"
    assert str(id_) == made(fact)


@given(facts)
def test_carries_the_time_floored_to_the_second(fact):
    assert UUID(made(fact)).int >> 80 == fact[3] // 1000 * 1000


@given(facts, facts)
def test_differs_exactly_where_the_fact_does(one, other):
    def identity(fact):
        server, call, type_, created, parts = fact
        return server, call, type_, created // 1000, tuple(parts)

    assert (made(one) == made(other)) == (identity(one) == identity(other))


@given(facts, facts)
def test_sorts_by_second(one, other):
    if one[3] // 1000 < other[3] // 1000:
        assert made(one) < made(other)


@given(st.lists(texts, min_size=2, max_size=6), st.data())
def test_where_one_part_ends_and_the_next_begins_counts(parts, data):
    cut = data.draw(st.integers(1, len(parts) - 1))
    joined = [*parts[: cut - 1], parts[cut - 1] + parts[cut], *parts[cut + 1 :]]
    assert fact_id("s", "c", "t", 0, *parts) != fact_id("s", "c", "t", 0, *joined)


def test_each_argument_counts():
    base = ("voip3", "1.1", "dtmf", 5000, "a", "b")
    others = [
        ("voip2", "1.1", "dtmf", 5000, "a", "b"),
        ("voip3", "1.2", "dtmf", 5000, "a", "b"),
        ("voip3", "1.1", "received-call", 5000, "a", "b"),
        ("voip3", "1.1", "dtmf", 6000, "a", "b"),
        ("voip3", "1.1", "dtmf", 5000, "b", "a"),
        ("voip3", "1.1", "dtmf", 5000, "a", "b", ""),
        ("voip3", "1.1", "dtmf", 5000, "ab"),
    ]
    assert len({fact_id(*arguments) for arguments in [base, *others]}) == len(others) + 1


def test_times_that_do_not_fit_make_an_id_all_the_same():
    assert UUID(fact_id("s", "c", "t", -62135596800000)).int >> 80 == 0
    assert UUID(fact_id("s", "c", "t", 1 << 60)).version == 7

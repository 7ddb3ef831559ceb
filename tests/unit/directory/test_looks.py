"""Looks at all endpoints, between the events that come before and after them."""

from __future__ import annotations

from daemon.ari.events import parse
from daemon.directory.contacts import Contact
from daemon.directory.endpoints import LONGEST_WAIT, EndpointChange, EndpointTable, Look
from tests.unit.directory.endpoint_news import NOW, T0, at, contact, look, run, use


def test_the_first_look_only_learns() -> None:
    table = EndpointTable("voip3")
    assert use(table, look(50, "online", "192.0.2.10", **{"1013011": "offline"})) == []
    view = table.view("1013010")
    assert (view.state, view.since, view.address, view.how, view.learnt_at) == (
        "online",
        T0 + 50,
        "192.0.2.10:5060",
        "ami",
        T0 + 50,
    )
    assert table.view("1013011").state == "offline"
    assert not table.looking


def test_a_look_finds_what_was_missed() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    assert use(table, look(50, "offline", "192.0.2.10")) == [
        EndpointChange("1013010", "offline", "192.0.2.10", T0 + 50, 2, True)
    ]
    assert use(table, look(60, "online", "192.0.2.77")) == [
        EndpointChange("1013010", "online", "192.0.2.77", T0 + 60, 3, True)
    ]
    assert use(table, look(70, "online", "192.0.2.78")) == [
        EndpointChange("1013010", "online", "192.0.2.78", T0 + 70, 4, True)
    ]
    assert use(table, look(80, "online", "192.0.2.78")) == []


def test_after_a_restart_of_asterisk_two_nodes_say_the_same_time() -> None:
    found = []
    for moment in (5000, 5700):
        table = EndpointTable("voip3")
        run(table, contact(1, "online", "NonQualified"))
        found.append(use(table, look(moment, "offline", started=4000)))
    assert found[0] == found[1] == [EndpointChange("1013010", "offline", "192.0.2.10", T0 + 4000, 2, True)]


def test_a_restart_before_the_last_news_says_nothing_about_when() -> None:
    table = EndpointTable("voip3")
    run(table, contact(4500, "online", "NonQualified"))
    assert use(table, look(5000, "offline", started=4000))[0].at == T0 + 5000


def test_a_look_waits_for_the_events_that_are_older_than_it() -> None:
    table = EndpointTable("voip3")
    use(table, look(0, "offline"))
    table.take(look(500, "online", "192.0.2.10"), NOW)
    assert table.looking
    ringing = '{"type":"ChannelCreated","timestamp":"%s","channel":{"id":"1"}}'
    for step in range(4):  # Asterisk queued them while we were away
        now = NOW + 0.9 * (step + 1)
        assert table.apply(parse(ringing % at(10 * step)), now) == []
        assert table.tick(now) == []
    assert [c.at - T0 for c in table.apply(contact(300, "online", "NonQualified"), NOW + 4)] == [300]
    assert table.tick(NOW + 4.9) == []
    assert table.tick(NOW + 5.0) == []
    assert not table.looking


def test_it_does_not_wait_for_ever() -> None:
    table = EndpointTable("voip3")
    table.take(look(500, "online"), NOW)
    now = NOW
    while now < NOW + LONGEST_WAIT:
        now += 0.5
        table.apply(contact(1, "offline", "NonQualified"), now)
    table.tick(now)
    assert table.view("1013010").state == "online"


def test_an_event_newer_than_the_look_counts_more() -> None:
    table = EndpointTable("voip3")
    use(table, look(0, "offline"))
    table.take(look(500, "offline"), NOW)
    assert len(table.apply(contact(501, "online", "NonQualified"), NOW)) == 1
    assert table.tick(NOW + 2) == []
    assert table.view("1013010").state == "online"


def test_a_look_without_addresses_leaves_those_that_are_known() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    assert use(table, look(50, "online")) == []
    assert table.view("1013010").address == "192.0.2.10:5060"
    use(table, look(60, "offline"))
    assert table.view("1013010").address is None
    # AMI does not list contacts of the configuration: an online endpoint without any keeps its own.
    run(table, contact(100, "online", "NonQualified"))
    seen = look(200, "online", "192.0.2.99")
    others = Look(seen.begun, seen.states, (Contact("1013011", "sip:1013011@192.0.2.11:5060"),))
    assert use(table, others) == []
    assert table.view("1013010").address == "192.0.2.10:5060"


def test_what_asterisk_has_no_more_goes() -> None:
    table = EndpointTable("voip3")
    use(table, look(1, "online", "192.0.2.10", **{"1013011": "offline"}))
    assert use(table, Look(T0 + 50, {"1013012": "offline"})) == [
        EndpointChange("1013010", "unknown", "192.0.2.10", T0 + 50, 1, True)
    ]
    assert [view.endpoint for view in table.views()] == ["1013012"]


def test_a_look_at_nothing_says_nothing() -> None:
    table = EndpointTable("voip3")
    use(table, look(1, "online"))
    assert use(table, Look(T0 + 50, {})) == []
    assert table.view("1013010").state == "online"


def test_one_look_at_1378() -> None:
    names = [str(1013000 + number) for number in range(1378)]
    contacts = tuple(Contact(n, f"sip:{n}@198.51.{int(n) % 200}.{int(n) % 250 + 1}:5060") for n in names[::2])
    table = EndpointTable("voip3")
    states = {name: "online" if number % 2 == 0 else "offline" for number, name in enumerate(names)}
    assert use(table, Look(T0, states, contacts)) == []
    assert sum(view.state == "online" for view in table.views()) == 689
    assert sum(view.address is not None for view in table.views()) == 689
    assert len(use(table, Look(T0 + 10, dict.fromkeys(names, "offline"), ()))) == 689


def test_what_a_look_would_say_changes_nothing_yet() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    before = table.views()
    views = {view.endpoint: view for view in table.views_after(look(50, "offline", **{"1013011": "online"}))}
    assert (views["1013010"].state, views["1013010"].since) == ("offline", T0 + 50)
    assert views["1013011"].state == "online"
    assert table.views() == before
    kept = {view.endpoint: view for view in table.views_after(look(50, "online"))}
    assert (kept["1013010"].address, kept["1013010"].since) == ("192.0.2.10:5060", T0 + 1)

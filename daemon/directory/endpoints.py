"""Which endpoints are there, and from where: events and looks in, changes out. Pure.

**Which event decides.** Asterisk tells one change twice, as a PeerStatusChange
and a ContactStatusChange some milliseconds apart, in either order. Of a PJSIP
endpoint the *contact* events decide alone: they carry the endpoint's state and
the address, both nodes get them in one order, and their `timestamp` is the
message's own, the same for every reader. So the change's time is that of the
first ContactStatusChange with the new state or the new address, and two nodes
make one id of it. A PeerStatusChange or EndpointStateChange that no contact
event confirms within `settle` seconds counts by its own timestamp. Of other
technologies (`IAX2/100`), which have no contacts, PeerStatusChange decides.

**A look** (all endpoints at once) waits until the events that are older than
it have been used, so that it never says a second time what an event is about
to say. What it then finds changed is `recovered`: nobody knows when it
happened. Its time is Asterisk's start where Asterisk has restarted since (both
nodes say the same), else that of the look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from daemon.ari.events import ContactInfo, Event, millis
from daemon.directory.contacts import Contact, Place, place_of

UNKNOWN: Final = "unknown"
ONLINE: Final = "online"

BY_EVENT: Final = "event"
BY_AMI: Final = "ami"
BY_CLI: Final = "cli"

SETTLE: Final = 1.0
"""Seconds that a contact event may come after the peer event of one change, or old events after a look."""
LONGEST_WAIT: Final = 30.0
"""Seconds that a look waits at most for older events (a clock that was set back makes all of them old)."""
MAX_ADDRESSES: Final = 16
"""Addresses remembered for each endpoint; the one not seen for longest is forgotten first."""

_GONE: Final = ("Removed", "Unreachable")


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """An endpoint came, went or moved.

    `state` is Asterisk's word. `ip` is where it is or, if it went, where it
    was; None where that is not known. `at` is when, in milliseconds since the
    epoch by Asterisk's clock. `seq` grows within an endpoint. `recovered`:
    found by a look.
    """

    endpoint: str
    state: str
    ip: str | None
    at: int
    seq: int
    recovered: bool


@dataclass(frozen=True, slots=True)
class SeenAddress:
    """An IP address that an endpoint was registered from: first and last news of it (ms), and how."""

    ip: str
    first: int
    last: int
    how: str


@dataclass(frozen=True, slots=True)
class EndpointView:
    """What is known of one endpoint.

    `since`: in this state since (ms), or seen in it first. `address` is
    HOST:PORT, None where none is known or it is not registered; `how` it was
    learnt and when (`learnt_at`, ms). `addresses`: the newest last.
    """

    endpoint: str
    state: str
    since: int | None = None
    address: str | None = None
    ip: str | None = None
    how: str | None = None
    learnt_at: int | None = None
    addresses: tuple[SeenAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """All endpoints of one Asterisk at one moment.

    `begun`: Asterisk's clock just before it was asked (ms). `states` by
    endpoint as this module names them (`endpoint_name`). `contacts` is None
    where nobody could say where they are registered from; `how` says who did.
    `started`: when Asterisk started (ms), None where it did not say.
    """

    begun: int
    states: Mapping[str, str]
    contacts: tuple[Contact, ...] | None = None
    how: str = BY_AMI
    started: int | None = None


@dataclass(slots=True)
class _Entry:
    state: str = UNKNOWN
    since: int | None = None
    contacts: dict[str, Contact] = field(default_factory=dict)
    last: Place | None = None
    """Where it was registered from last, kept when it goes."""
    how: str | None = None
    learnt_at: int | None = None
    heard: int = 0
    """The newest event's time (ms): a look that began before it is out of date."""
    told: int = 0
    """The last contact event's time (ms): an older peer event is about what that has said."""
    looked: int = 0
    """The last used look's time (ms)."""
    seq: int = 0
    addresses: dict[str, SeenAddress] = field(default_factory=dict)

    def place(self) -> Place | None:
        """The newest contact that can be reached, else the newest."""
        newest = reachable = None
        for contact in self.contacts.values():
            place = place_of(contact.uri)
            newest, reachable = place or newest, (place if contact.reachable else None) or reachable
        return reachable or newest

    def learn(self, place: Place, at: int, how: str) -> bool:
        """It is at `place`: is that another host than before?"""
        moved = self.last is None or self.last.host != place.host
        if moved or self.last != place or self.how is None:
            self.how, self.learnt_at = how, at
        self.last = place
        self.note(place, at, how)
        return moved

    def note(self, place: Place, at: int, how: str) -> None:
        ip = place.ip
        if ip is None:
            return
        seen = self.addresses.pop(ip, None)
        first, how = (seen.first, seen.how) if seen else (at, how)
        self.addresses[ip] = SeenAddress(ip, first, max(at, seen.last if seen else at), how)
        if len(self.addresses) > MAX_ADDRESSES:
            del self.addresses[next(iter(self.addresses))]


@dataclass(slots=True)
class _Doubt:
    """A state that no contact event has confirmed yet: since when, and until when that may come."""

    state: str
    at: int
    until: float


def endpoint_name(technology: str, resource: str) -> str:
    """PJSIP's by their bare name, as the definition files and the messages have it; others as IAX2/NAME."""
    return resource if technology == "PJSIP" else f"{technology}/{resource}"


class EndpointTable:
    """The endpoints of one Asterisk. Not for several threads at once.

    `now` is the receive time in seconds since the epoch, as the monitor gives
    it to the call tracker; it only measures `settle`.
    """

    def __init__(self, server: str, *, known: Iterable[EndpointView] = (), settle: float = SETTLE) -> None:
        """`known` is what `views()` said before a restart of the daemon."""
        self.server = server
        self._settle = settle
        self._entries: dict[str, _Entry] = {view.endpoint: _restored(view) for view in known}
        self._doubts: dict[str, _Doubt] = {}
        self._look: Look | None = None
        self._look_ripe = self._look_latest = 0.0

    def apply(self, event: Event, now: float) -> list[EndpointChange]:
        """The changes that an event makes. Any event may be given: others than an endpoint's make none."""
        if self._look is not None and now < self._look_ripe and _at(event, now) < self._look.begun:
            # Events older than the look still come in: those that Asterisk queued while we were away.
            self._look_ripe = min(now + self._settle, self._look_latest)
        endpoint = event.endpoint
        if endpoint is None or event.type not in _KINDS:
            return []
        name = endpoint_name(endpoint.technology, endpoint.resource)
        entry = self._entries.setdefault(name, _Entry())
        at = _at(event, now)
        entry.heard = max(entry.heard, at)
        if event.type == "ContactStatusChange" and event.contact_info is not None:
            return self._on_contact(name, entry, endpoint.state or entry.state, event.contact_info, at)
        if event.type == "PeerStatusChange" and endpoint.technology != "PJSIP":
            return self._enter(name, entry, endpoint.state or entry.state, at)
        self._doubt(name, entry, endpoint.state, at, now)
        return []

    def tick(self, now: float) -> list[EndpointChange]:
        """The changes that the passing of time makes: unconfirmed states, a look that is ripe."""
        changes: list[EndpointChange] = []
        for name, doubt in [item for item in self._doubts.items() if item[1].until <= now]:
            del self._doubts[name]
            changes += self._enter(name, self._entries[name], doubt.state, doubt.at)
        look = self._look
        if look is not None and now >= self._look_ripe:
            self._look = None
            changes += self._use(look)
        return changes

    def take(self, look: Look, now: float) -> None:
        """A look was made; `tick` uses it `settle` seconds later. A newer one replaces an unused one.

        A look at no endpoint at all (PJSIP is not loaded yet) says nothing.
        """
        if look.states:
            self._look = look
            self._look_ripe, self._look_latest = now + self._settle, now + LONGEST_WAIT

    @property
    def looking(self) -> bool:
        """Whether a look waits to be used."""
        return self._look is not None

    def view(self, endpoint: str) -> EndpointView | None:
        """What is known of one, None where nothing is."""
        entry = self._entries.get(endpoint)
        return None if entry is None else _view(endpoint, entry)

    def views(self) -> tuple[EndpointView, ...]:
        """What is known of all."""
        return tuple(_view(name, entry) for name, entry in self._entries.items())

    def views_after(self, look: Look) -> tuple[EndpointView, ...]:
        """What `views` will say once a look, made just now, is used; nothing is changed."""
        after = EndpointTable(self.server, known=self.views())
        after.take(look, 0.0)
        after.tick(LONGEST_WAIT)
        return after.views()

    # -- events ----------------------------------------------------------------
    def _on_contact(
        self, name: str, entry: _Entry, state: str, info: ContactInfo, at: int
    ) -> list[EndpointChange]:
        self._doubts.pop(name, None)
        entry.told = at
        if info.contact_status == "Removed":
            entry.contacts.pop(info.uri, None)
        else:  # one that is there already keeps its place in the order
            entry.contacts[info.uri] = Contact(name, info.uri, info.contact_status != "Unreachable")
        told = place_of(info.uri)
        if told is not None:
            if entry.last is None and state != ONLINE:
                entry.last = told
            entry.note(told, at, BY_EVENT)
        place = entry.place()
        moved = entry.learn(place, at, BY_EVENT) if place is not None else False
        if state != entry.state:
            # A contact that is to be qualified first says `offline`: that is no going away.
            real = entry.state != UNKNOWN or state == ONLINE or info.contact_status in _GONE
            return self._enter(name, entry, state, at, tell=real)
        return [self._change(name, entry, at)] if moved and state == ONLINE else []

    def _doubt(self, name: str, entry: _Entry, state: str | None, at: int, now: float) -> None:
        if not state or state == entry.state:
            self._doubts.pop(name, None)
            return
        if at < entry.told:
            return
        before = self._doubts.get(name)
        if before is not None and before.state == state:
            before.at = min(before.at, at)
        else:
            self._doubts[name] = _Doubt(state, at, now + self._settle)

    # -- looks -----------------------------------------------------------------
    def _use(self, look: Look) -> list[EndpointChange]:
        changes: list[EndpointChange] = []
        found = _by_endpoint(look.contacts or ())
        for name in [*self._entries, *(name for name in look.states if name not in self._entries)]:
            entry = self._entries.setdefault(name, _Entry())
            confirmed = max(entry.heard, entry.looked)
            if entry.heard >= look.begun:
                continue  # an event has newer news
            entry.looked = look.begun
            self._doubts.pop(name, None)
            started = look.started
            at = started if started is not None and started > confirmed > 0 else look.begun
            state = look.states.get(name, UNKNOWN)
            moved = False
            if name in found:
                moved = _use_contacts(entry, found[name], at, look.how)
            elif state != ONLINE and (look.contacts is not None or state != entry.state):
                entry.contacts.clear()  # an online one keeps what an event said: looks don't see all contacts
            if state != entry.state:
                # From unknown to known is no change; nor is it one that an absent endpoint is taken out.
                tell = entry.state == ONLINE if state == UNKNOWN else entry.state != UNKNOWN
                changes += self._enter(name, entry, state, at, tell=tell, recovered=True)
            elif moved and state == ONLINE:
                changes.append(self._change(name, entry, at, recovered=True))
            if name not in look.states:
                del self._entries[name]
        return changes

    def _enter(
        self, name: str, entry: _Entry, state: str, at: int, *, tell: bool = True, recovered: bool = False
    ) -> list[EndpointChange]:
        if state == entry.state:
            return []
        entry.state, entry.since = state, at
        return [self._change(name, entry, at, recovered=recovered)] if tell else []

    def _change(self, name: str, entry: _Entry, at: int, *, recovered: bool = False) -> EndpointChange:
        entry.seq += 1
        ip = entry.last.ip if entry.last is not None else None
        return EndpointChange(name, entry.state, ip, at, entry.seq, recovered)


_KINDS: Final = frozenset({"ContactStatusChange", "PeerStatusChange", "EndpointStateChange"})


def _at(event: Event, now: float) -> int:
    """When it happened, by Asterisk's clock; the receive time where Asterisk did not say it."""
    try:
        return millis(event.timestamp)
    except ValueError:
        return round(now * 1000)


def _by_endpoint(contacts: Iterable[Contact]) -> dict[str, dict[str, Contact]]:
    found: dict[str, dict[str, Contact]] = {}
    for contact in contacts:
        found.setdefault(contact.endpoint, {})[contact.uri] = contact
    return found


def _use_contacts(entry: _Entry, found: Mapping[str, Contact], at: int, how: str) -> bool:
    """The contacts are these; the order of those known stays. Did it move from a known place?"""
    known = entry.last is not None
    entry.contacts = {uri: found[uri] for uri in [u for u in entry.contacts if u in found] + list(found)}
    for contact in found.values():
        place = place_of(contact.uri)
        if place is not None:
            entry.note(place, at, how)
    place = entry.place()
    return place is not None and entry.learn(place, at, how) and known


def _view(name: str, entry: _Entry) -> EndpointView:
    place = entry.last if entry.place() is not None else None
    return EndpointView(
        endpoint=name,
        state=entry.state,
        since=entry.since,
        address=str(place) if place is not None else None,
        ip=place.ip if place is not None else None,
        how=entry.how if place is not None else None,
        learnt_at=entry.learnt_at if place is not None else None,
        addresses=tuple(entry.addresses.values()),
    )


def _restored(view: EndpointView) -> _Entry:
    entry = _Entry(view.state, view.since, how=view.how, learnt_at=view.learnt_at)
    entry.addresses = {seen.ip: seen for seen in view.addresses}
    if view.address is not None:
        uri = f"sip:{view.address}"
        entry.last, entry.contacts = place_of(uri), {uri: Contact(view.endpoint, uri)}
    elif view.addresses:
        entry.last = Place(view.addresses[-1].ip)
    entry.looked = max([view.since or 0, *(seen.last for seen in view.addresses)])
    return entry

"""Which counters of the root become a metric, and under which name. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A counter of the root that becomes a metric. A name that ends in _total only grows.

    `key` is the last part of the dotted name; `unit` is what one of it is in
    Prometheus' base unit.
    """

    key: str
    name: str
    text: str
    unit: float = 1.0


OF_ASTERISK = (
    Figure("active_calls", "arimonitor_active_calls", "Calls that go on now."),
    Figure(
        "reconnects",
        "arimonitor_websocket_reconnections_total",
        "Times the event websocket was connected again.",
    ),
    Figure("malformed", "arimonitor_events_malformed_total", "Events that could not be read."),
    Figure("overflowed", "arimonitor_events_dropped_total", "Events dropped because the inbox was full."),
    Figure("queue_events", "arimonitor_inbox_events", "Events received and not applied yet."),
    Figure("tracker_errors", "arimonitor_tracker_errors_total", "Events that the call tracker failed on."),
    Figure("unstored", "arimonitor_messages_unstored", "Messages that wait for the outbox to take them."),
    Figure("gaps", "arimonitor_gaps_total", "Times in which events may have been missed."),
    Figure("gap_seconds", "arimonitor_gap_seconds_total", "Seconds in which events may have been missed."),
)
"""asterisk.NAME.KEY, with the label server."""

OF_BROKER = (
    Figure("outbox", "arimonitor_outbox_messages", "Messages that wait for this broker."),
    Figure("oldest_s", "arimonitor_outbox_oldest_seconds", "Age of the oldest message that waits; 0: none."),
    Figure(
        "published",
        "arimonitor_messages_confirmed_total",
        "Messages that the broker confirmed (or the file).",
    ),
    Figure("returned", "arimonitor_messages_returned_total", "Messages that the broker could not route."),
    Figure("nacked", "arimonitor_messages_nacked_total", "Messages that the broker refused."),
    Figure("sent_again", "arimonitor_messages_resent_total", "Messages sent again."),
    Figure("in_flight", "arimonitor_messages_in_flight", "Messages sent and not confirmed yet."),
    Figure("parked", "arimonitor_messages_parked", "Messages set aside after a refusal, tried again later."),
)
"""broker.NAME.KEY, with the label broker."""

OF_NODE = (
    Figure("outbox.stored_total", "arimonitor_outbox_stored_total", "Messages stored in the outbox."),
    Figure("outbox.disk_bytes", "arimonitor_outbox_disk_bytes", "Size of the outbox on the disk."),
    Figure(
        "outbox.held_in_memory",
        "arimonitor_outbox_memory_messages",
        "Messages held until the disk takes them.",
    ),
    Figure(
        "hub.p50_ms", "arimonitor_hub_lag_p50_seconds", "Median lag of the event loop, last minute.", 1e-3
    ),
    Figure("hub.p99_ms", "arimonitor_hub_lag_p99_seconds", "99 % lag of the event loop, last minute.", 1e-3),
    Figure("hub.max_ms", "arimonitor_hub_lag_max_seconds", "Worst lag of the event loop, last minute.", 1e-3),
    Figure("hub.blocked", "arimonitor_hub_blocked_total", "Times the event loop was blocked."),
    Figure("hub.blocked_s", "arimonitor_hub_blocked_seconds_total", "Seconds the event loop was blocked."),
)
"""The whole dotted name, no label."""

OF_CLUSTER = (
    Figure("ha.role_changes", "arimonitor_role_changes_total", "Times this node changed its role."),
    Figure(
        "ha.role_change_ms", "arimonitor_role_change_seconds", "How long the last change of role took.", 1e-3
    ),
    Figure(
        "marks.waiting", "arimonitor_marks_waiting", "Published messages that standbys are not told of yet."
    ),
    Figure(
        "marks.written", "arimonitor_marks_written_total", "Published messages that standbys were told of."
    ),
    Figure(
        "marks.left_out",
        "arimonitor_marks_left_out_total",
        "Published messages that standbys have to ask about.",
    ),
    Figure(
        "marks.taken_from_standby",
        "arimonitor_standby_taken_total",
        "Messages that only a standby saw, and this master published.",
    ),
    Figure(
        "pruner.dropped",
        "arimonitor_standby_dropped_total",
        "Messages let go of: the master's journal has them.",
    ),
    Figure(
        "pruner.settled",
        "arimonitor_standby_settled_total",
        "Messages let go of: the master answered for them.",
    ),
    Figure(
        "pruner.given_up",
        "arimonitor_standby_given_up_total",
        "Messages of this node alone that were dropped.",
    ),
    Figure(
        "pruner.handed",
        "arimonitor_standby_handed_total",
        "Messages handed to the master, which had not seen them.",
    ),
    Figure(
        "requests.taken_over",
        "arimonitor_requests_taken_over_total",
        "Requests of lost nodes given to another.",
    ),
    Figure(
        "requests.waiting_for_a_node",
        "arimonitor_requests_waiting_for_a_node",
        "Requests that wait for a node that is away.",
    ),
)
"""The whole dotted name, no label. Of two nodes, but for the first two."""

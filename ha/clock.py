"""The clock of leases. Adapter of the kernel.

Not the wall clock, which people and NTP set; not CLOCK_MONOTONIC either, which stands still while the
machine sleeps. A machine that a hypervisor pauses may have no clock that went on: therefore every commit is
fenced by ZooKeeper as well (docs/decisions/zookeeper-lease.md).
"""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds since the machine was started, time asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

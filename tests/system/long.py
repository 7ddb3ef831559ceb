"""ARIMONITOR_LONG=1: every scenario, and faults that last as long as in the field."""

from __future__ import annotations

import os

LONG = os.environ.get("ARIMONITOR_LONG", "") not in ("", "0")

"""What the tests of the runtime share: their deadline, and what they need."""

from __future__ import annotations

import pytest
from gevent import monkey

DEADLINE = 60
patched = pytest.mark.skipif(
    not monkey.is_module_patched("threading"), reason="needs python -m gevent.monkey --module pytest"
)

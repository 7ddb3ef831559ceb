"""Why work could not be done, in words: code -> (Brazilian Portuguese, English). Pure.

The same shape as daemon.mail.reasons, which looks into this table too.
"""

from __future__ import annotations

REASONS: dict[str, tuple[str, str]] = {}

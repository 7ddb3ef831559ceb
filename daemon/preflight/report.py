"""What `arimonitor check` found, and how it is shown: a table for people, JSON for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried: what, where, whether it is well, why not, and the mend.

    `ok` with a `mend` is an advice: it works, but could be better.
    """

    what: str
    where: str
    ok: bool
    reason: str = ""
    mend: str = ""

    @property
    def result(self) -> str:
        """ok, advice or FAILS."""
        if not self.ok:
            return "FAILS"
        return "advice" if self.mend else "ok"


_HEADS = ("what", "where", "result", "reason")


def as_table(checks: Sequence[Check]) -> str:
    """Aligned columns; the mend is on a line of its own below what it mends. The last line sums up."""
    rows = [(check.what, check.where, check.result, check.reason) for check in checks]
    widths = [max(len(row[column]) for row in [_HEADS, *rows]) for column in range(3)]
    lines = [_row(_HEADS, widths)]
    for check, row in zip(checks, rows, strict=True):
        lines.append(_row(row, widths))
        if check.mend:
            lines.append(_row(("", "", "", "-> " + check.mend), widths))
    failed = sum(not check.ok for check in checks)
    advice = sum(check.result == "advice" for check in checks)
    lines.append("")
    lines.append(
        f"{len(checks)} checks: {failed} failed, {advice} with advice" if failed or advice else "all well"
    )
    return "\n".join(lines)


def as_json(checks: Sequence[Check]) -> str:
    """One JSON object: `ok` for all of them, and `checks` with the fields of Check."""
    return json.dumps(
        {"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]},
        ensure_ascii=False,
        indent=2,
    )


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    columns = [cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=True)]
    return "  ".join([*columns, cells[3]]).rstrip()

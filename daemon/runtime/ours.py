"""Whether the packages `daemon`, `ha` and `ssh` are this product's. Pure but for the look.

Two distributions on PyPI install packages of these names too (python-daemon,
ssh-python); in one environment with ours they would silently replace a part of it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import daemon

NAMES = ("daemon", "ha", "ssh")


def foreign_packages(names: tuple[str, ...] = NAMES) -> list[str]:
    """One sentence for each package that is missing, or lies elsewhere than this one."""
    home = Path(str(daemon.__file__)).resolve().parent.parent
    problems = []
    for name in names:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            problems.append(
                f"the package {name!r} is missing beside {home / 'daemon'}: install arimonitor again"
            )
            continue
        found = Path(spec.origin).resolve().parent
        if found != home / name:
            problems.append(
                f"the package {name!r} at {found} is another product's, ours is at {home / name}: "
                "install arimonitor into a virtual environment of its own"
            )
    return problems

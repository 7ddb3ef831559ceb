"""The entry: patches the standard library before anything else is imported, then the command line."""

from gevent import monkey

monkey.patch_all()

import sys
from collections.abc import Sequence

from daemon.runtime.native import open_standard_streams
from daemon.runtime.ours import foreign_packages


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `arimonitor`; its exit status."""
    open_standard_streams()
    problems = foreign_packages()
    if problems:
        sys.stderr.write("".join(f"arimonitor: {problem}\n" for problem in problems))
        return 1
    from daemon.cli import main as command_line

    return command_line(argv)


if __name__ == "__main__":
    sys.exit(main())

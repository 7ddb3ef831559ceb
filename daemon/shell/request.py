"""`arimonitor request SUBJECT --from EMAIL`: a request as a mail with that subject would make it. Entry.

It is dropped into pending/ as a file, so the daemon may run or stand still.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.jobs import requestfile
from daemon.jobs.model import Failure
from daemon.jobs.spool import Spool
from daemon.mail import intake, reasons
from daemon.mail.policy import policy_of
from daemon.settings import file as settingsfile

EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `request` to the command line."""
    command = commands.add_parser("request", help="a request, as a mail with that subject would make it")
    command.add_argument("subject", metavar="SUBJECT", help='such as "RAMAIS=1121 INICIO=... FIM=..."')
    command.add_argument("--from", dest="sender", required=True, metavar="EMAIL", help="who gets the answer")
    command.add_argument("-c", "--config", type=Path, metavar="FILE", help="as of `arimonitor run`")
    command.set_defaults(command=request)


def request(arguments: argparse.Namespace) -> int:
    """Queue it: its id on standard output. 2: refused, the reason on standard error."""
    settings = settingsfile.load(settingsfile.resolve(arguments.config, os.environ), os.environ)
    policy = policy_of(settings)
    made = intake.typed(arguments.subject, arguments.sender, policy, datetime.now(UTC))
    if isinstance(made, Failure):
        print(f"arimonitor: {reasons.sentence(made, policy.language)}", file=sys.stderr)
        return EXIT_REFUSED
    data = requestfile.pending(made, time.time(), ZoneInfo(settings.node.timezone))
    if not Spool(settings.queue.dir).drop(made.request_id, data):
        print(f"arimonitor: {made.request_id} is in the queue already", file=sys.stderr)
        return EXIT_REFUSED
    print(made.request_id)
    return EXIT_OK

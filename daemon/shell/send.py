"""`arimonitor recordings send`: the old selection program; needs no daemon. Entry."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.errors import PermanentError, RequestError, TransientError
from daemon.jobs.composer import MailComposer
from daemon.jobs.model import Failure, NothingFound, Record, Request
from daemon.mail import reasons
from daemon.mail.addresses import is_address
from daemon.mail.intake import typed
from daemon.mail.opening import open_way_out
from daemon.mail.policy import policy_of
from daemon.recordings.desk import Recordings
from daemon.runtime.offload import Offload
from daemon.settings import Settings
from daemon.settings import file as settingsfile

SENT, NONE, USAGE, FAILED = 0, 1, 2, 3


def add(actions: Any) -> None:
    """Add `send` to the actions of `recordings`."""
    action = actions.add_parser("send", help="finds, packs, publishes and mails recordings")
    action.add_argument("-c", "--config", type=Path, metavar="FILE")
    action.add_argument("--modo", default="automatico", help="accepted and ignored, as automatico")
    action.add_argument("--ramais", required=True, metavar="1121,1122")
    action.add_argument("--inicio", required=True, metavar='"DD/MM/YYYY HH:MM"')
    action.add_argument("--fim", required=True, metavar='"DD/MM/YYYY HH:MM"')
    action.add_argument("--email", required=True, metavar="E", help="who gets the answer")
    action.add_argument("--from", dest="source", choices=("audio", "s3"), default="")
    action.set_defaults(command=send)


def send(arguments: argparse.Namespace) -> int:
    """0 sent, 1 nothing found (told by mail too), 2 bad parameters, 3 it could not be done."""
    settings = settingsfile.load(settingsfile.resolve(arguments.config, os.environ), os.environ)
    request = _request(arguments, settings)
    if isinstance(request, str):
        return _complain(request, USAGE)
    pool = Offload()
    folder = settings.node.data_dir / "work" / f"{request.request_id}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        outcome = Recordings(settings, pool.call).send(request, folder)
        now = time.time()
        record = Record(request=request, state="replying", version=0, outcome=outcome, accepted_at=now)
        open_way_out(settings).send(MailComposer(lambda: settings).answer(record))
    except RequestError as error:
        failure = Failure(error.code, dict(error.names))
        return _complain(reasons.sentence(failure, settings.node.language), FAILED)
    except (TransientError, PermanentError) as error:
        return _complain(str(error), FAILED)
    except OSError as error:
        return _complain(f"the folder {folder} can't be made: {error.strerror}", FAILED)
    finally:
        pool.call(_remove, folder)
        pool.close()
    if isinstance(outcome, NothingFound):
        print("no recordings were found")
        return NONE
    print(f"{len(outcome.rows)} recordings were sent to {request.from_email}")
    return SENT


def _request(arguments: argparse.Namespace, settings: Settings) -> Request | str:
    """The request, or what is wrong with it."""
    if not is_address(arguments.email):
        return "--email: one mail address, such as person@example.com"
    for name in ("ramais", "inicio", "fim"):
        if "=" in getattr(arguments, name):
            return f"--{name} has characters that no {name} has"
    policy = policy_of(settings)
    wish = f"RAMAIS={arguments.ramais} INICIO={arguments.inicio} FIM={arguments.fim}"
    if arguments.source:
        wish += f" AUDIOS_FROM={arguments.source}"
    # Whoever starts this program has the recordings before him: no whitelist, no rights.
    anybody = dataclasses.replace(policy, whitelist=frozenset({arguments.email.lower()}), rights={})
    made = typed(wish, arguments.email, anybody, datetime.now(UTC))
    return reasons.sentence(made, policy.language) if isinstance(made, Failure) else made


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _complain(text: str, status: int) -> int:
    print(f"arimonitor: {text}", file=sys.stderr)
    return status

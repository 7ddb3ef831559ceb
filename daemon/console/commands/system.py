"""System: what the daemon is, how it is, reading again, the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from daemon.console.registry import Command, CommandError, Result, SessionInfo, first_of
from daemon.console.render import count, plain, table
from daemon.console.status import master_of, status_text
from daemon.console.views import Reloaded
from daemon.snapshot import Snapshot, health
from ha.lease import spelled

MAX_LOG_LINES = 1000
RELOADABLE = ("clients", "endpoints", "mqservers", "config")


def system_commands(
    *,
    snapshot: Callable[[], Snapshot],
    counters: Callable[[], Mapping[str, int | float]],
    versions: Mapping[str, str],
    reload: Callable[[str | None], Sequence[Reloaded]],
    log_lines: Callable[[int], Sequence[str]],
    knobs: Sequence[Command],
) -> tuple[Command, ...]:
    """The group System (and `role`). `knobs` is what `settings_commands` made.

    `counters` are numbers by dotted name ("events", "outbox.main.stored");
    `versions` has at least "arimonitor"; `reload(None)` reads everything again;
    `log_lines(n)` gives the last n lines of the log file.
    """

    def status(_args: Sequence[str], _info: SessionInfo) -> Result:
        now = snapshot()
        return Result(now.as_dict(), status_text(now))

    def stats(_args: Sequence[str], _info: SessionInfo) -> Result:
        numbers = dict(sorted(counters().items()))
        rows = [(name, count(number)) for name, number in numbers.items()]
        return Result(numbers, table(rows, right=(1,)) or "No counters yet.")

    def well(_args: Sequence[str], _info: SessionInfo) -> Result:
        problems = health(snapshot())
        data = {"ok": not problems, "problems": [{"part": p.part, "message": p.message} for p in problems]}
        if not problems:
            return Result(data, "All is well.")
        rows = [(problem.part, problem.message) for problem in problems]
        return Result(data, f"{len(problems)} wrong:\n{table(rows, indent='  ')}")

    def version(_args: Sequence[str], _info: SessionInfo) -> Result:
        data = {"version": versions["arimonitor"], **versions}
        return Result(data, table(list(versions.items())))

    def role(_args: Sequence[str], _info: SessionInfo) -> Result:
        now = snapshot()
        master = now.ha.master if now.ha is not None else None
        data: dict[str, object] = {
            "node": now.node,
            "role": now.role,
            "epoch": now.epoch,
            "master": master,
        }
        known = master_of(now.ha) if now.ha is not None else "not known"
        text = f"{now.node} is {now.role}, epoch {spelled(now.epoch)}; master: {known}"
        if now.ha is not None and now.ha.reason:
            data |= {"reason": now.ha.reason, "since": now.ha.since}
            text += f"\n{now.ha.reason} (since {plain(now.ha.since)})"
        return Result(data, text)

    def read_again(args: Sequence[str], _info: SessionInfo) -> Result:
        if len(args) > 1 or (args and args[0].lower() not in RELOADABLE):
            raise commands["reload"].wrong_usage()
        done = reload(args[0].lower() if args else None)
        text = reloaded_text(done)
        if not all(one.ok for one in done):
            raise CommandError("failed", text)
        return Result({"reloaded": [_reloaded(one) for one in done]}, text or "Nothing to read again.")

    def log(args: Sequence[str], _info: SessionInfo) -> Result:
        wanted = args[0] if args else "20"
        if len(args) > 1 or not wanted.isascii() or not wanted.isdigit() or not int(wanted[:9]) > 0:
            raise commands["log"].wrong_usage("N is a number of lines")
        lines = list(log_lines(min(int(wanted[:9]), MAX_LOG_LINES)))
        return Result({"path": snapshot().log, "lines": lines}, "\n".join(lines) or "The log is empty.")

    def leave(_args: Sequence[str], _info: SessionInfo) -> Result:
        return Result({"bye": True}, "Bye.", close=True)

    commands = {
        command.name: command
        for command in (
            Command("status", "System", "connections, calls and outboxes at a glance", ("status",), status),
            Command("stats", "System", "every counter", ("stats",), stats),
            Command("health", "System", "what is wrong now, if anything", ("health",), well),
            Command("version", "System", "version of product and parts", ("version",), version),
            *knobs,
            Command(
                name="reload",
                group="System",
                summary="reads definition files or the configuration again",
                usage=(f"reload [{'|'.join(RELOADABLE)}]",),
                examples=("reload", "reload endpoints"),
                handler=read_again,
                complete=first_of(RELOADABLE),
                mutating=True,
            ),
            Command(
                name="log",
                group="System",
                summary="the last lines of the log file",
                usage=("log [N]",),
                examples=("log", "log 100"),
                handler=log,
            ),
            Command(
                name="quit",
                group="System",
                summary="ends this session, never the daemon",
                usage=("quit",),
                handler=leave,
                aliases=("exit",),
            ),
            Command("role", "Failover", "master or slave, and since which election", ("role",), role),
        )
    }
    return tuple(commands.values())


def reloaded_text(done: Iterable[Reloaded]) -> str:
    """One line for each thing that was read again, its problems below it."""
    lines = []
    for one in done:
        detail = one.detail if one.ok else f"NOT reloaded, the old stays: {one.detail}"
        lines.append(f"{one.what} ({one.where}): {detail}")
        lines += [f"  {problem}" for problem in one.problems]
    return "\n".join(lines)


def _reloaded(one: Reloaded) -> dict[str, object]:
    return {
        "what": one.what,
        "where": one.where,
        "ok": one.ok,
        "detail": one.detail,
        "problems": list(one.problems),
    }

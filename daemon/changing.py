"""What changes while the daemon runs: settings, definition files, a reconciliation asked for. Root."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from threading import Event

from daemon.ari.reconciler import ask
from daemon.brokers import Brokers
from daemon.console.views import Reloaded
from daemon.directory.model import Directory
from daemon.errors import ConfigurationError, TransientError
from daemon.logs import LogSystem
from daemon.runtime.systemd import Notifier
from daemon.settings import AsteriskSettings, Settings
from daemon.settings.keys import changes, live_part, restart_needed, secrets
from daemon.watching import Watched, fetch, looker_of, options, rest_of

log = logging.getLogger("arimonitor")

_RECOVERY_PATIENCE = 20.0  # seconds that the console waits for one Asterisk


class Changing:
    """The settings in force, and who is told when they change. `reread` reads the configuration again."""

    def __init__(
        self,
        settings: Settings,
        logs: LogSystem,
        reread: Callable[[], Settings],
        watched: Mapping[str, Watched],
        *,
        played: bool,
    ) -> None:
        self.settings = settings
        self._logs = logs
        self._reread = reread
        self._watched = watched
        self._played = played
        self.brokers: Brokers | None = None
        """Who publishes; None: nobody on this node."""

    def apply(self, new: Settings) -> list[str]:
        """Put in force what may change while running; the names of the keys that changed."""
        old, new = self.settings, live_part(self.settings, new)
        changed = changes(old, new)
        self.settings = new
        self._logs.add_secrets(secrets(new))
        self._logs.set_level(new.log.level)
        self._logs.set_keep_days(new.log.keep_days)
        self._logs.set_debug("verbose" if new.log.debug_verbose else "on" if new.log.debug else "off")
        by_name: dict[str, AsteriskSettings] = {each.name: each for each in new.asterisk}
        for name, watched in self._watched.items():
            if by_name[name] != watched.settings:
                watched.settings = by_name[name]
                watched.reconciler.rest = rest_of(by_name[name], watched.listener)
                watched.looks.looker = looker_of(by_name[name], watched.listener, played=self._played)
                watched.listener.reconfigure(options(new, by_name[name]))
        for name in changed:
            log.info("the setting %s was changed", name)
        return changed

    def reload(self, what: str | None) -> list[Reloaded]:
        """Read the definition files or the configuration again, or (None) both."""
        done: list[Reloaded] = []
        if what in (None, "config"):
            done.append(self._configuration())
        if what != "config":
            done += self._definitions(what or "all")
        return done

    def _configuration(self) -> Reloaded:
        try:
            new = self._reread()
        except ConfigurationError as error:
            for problem in error.problems:
                log.error("the configuration is not read again: %s", problem)
            return Reloaded("config", "", False, "the old configuration stays in force", error.problems)
        later = restart_needed(changes(self.settings, new))
        problems = tuple(f"{name} changes at the next start only" for name in later)
        try:
            changed = self.apply(new)
        except ConfigurationError as error:  # a live key that needs one of those
            problems += error.problems
            return Reloaded("config", "", False, "the old configuration stays in force", problems)
        finally:
            for problem in problems:
                log.warning("the configuration is read again: %s", problem)
        return Reloaded("config", "", True, f"{len(changed)} keys changed", problems)

    def _definitions(self, which: str) -> list[Reloaded]:
        done = []
        for name, watched in self._watched.items():
            unreached = fetch(watched)
            result = watched.holder.reload(which)
            problems = (*unreached, *(str(line) for line in result.bad_lines))
            what = "definitions" if which == "all" else which
            done.append(Reloaded(what, name, result.ok and not unreached, result.sentence, problems))
        self._look_for_message_servers(which)
        return done

    def fetched(self, name: str) -> None:
        """The definition files of an Asterisk were fetched anew."""
        self._watched[name].holder.reload("all")
        self._look_for_message_servers("all")

    def directories(self) -> Iterable[tuple[str, Directory]]:
        """The tables of each Asterisk."""
        return [(name, each.holder.current) for name, each in self._watched.items()]

    def _look_for_message_servers(self, which: str) -> None:
        if which in ("all", "mqservers") and self.brokers is not None:
            for added in self.brokers.look(self.directories()):
                log.info("message server %s is new or has moved: its messages go there from now on", added)

    def recover(self, since: float | None) -> dict[str, str]:
        """Have every Asterisk reconciled now; a sentence for each."""
        found = {}
        for name, watched in self._watched.items():
            try:
                found[name] = ask(watched.inbox, since, _RECOVERY_PATIENCE)
            except TransientError as error:
                found[name] = str(error)
        return found

    def reload_on(self, wanted: Event, notifier: Notifier) -> None:
        """For ever: reload when SIGHUP came."""
        while True:
            wanted.wait()
            wanted.clear()
            notifier.reloading()
            for done in self.reload(None):
                log.log(
                    logging.INFO if done.ok else logging.ERROR,
                    "reload of %s: %s",
                    f"{done.what} of {done.where}" if done.where else done.what,
                    done.detail,
                )
            notifier.ready()

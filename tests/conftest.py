"""For all tests: nothing hangs, nothing is skipped in silence; the real servers that several files share.

Every test has a deadline (`@pytest.mark.deadline(SECONDS)` for another than the usual one). With
ARIMONITOR_NO_SKIPS=1 a run in which anything was skipped has failed, and says what.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.servers.asterisk.server import Asterisk
    from tests.servers.rabbitmq import RabbitMQ

DEADLINE = 240  # seconds for the body of one test
HARD_DEADLINE = 1500  # for its fixtures too (which may build an Asterisk); then the run ends with stacks

_skipped = pytest.StashKey[dict[str, str]]()
_stderr = pytest.StashKey[TextIO]()

# Of Hypothesis: the same examples in every run, which may take their time on a busy machine. What no example
# has shown yet is looked for by `make fuzz`, and by --hypothesis-profile=default.
hypothesis.settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deadline(seconds): another deadline for the test than the usual one")
    config.stash[_skipped] = {}
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Begun in the background of a shell; what the tests start would inherit it and not heed Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[_stderr] = os.fdopen(os.dup(2), "w")


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    config.stash[_stderr].close()


# -- no hang ---------------------------------------------------------------------------------------
@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    faulthandler.dump_traceback_later(HARD_DEADLINE, exit=True, file=item.config.stash[_stderr])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    marker = item.get_closest_marker("deadline")
    with _deadline(float(marker.args[0]) if marker else DEADLINE):
        return (yield)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """After `seconds` the test fails where it stands."""
    late = f"the test took more than its {seconds:g} s"
    if _patched():
        import gevent

        with gevent.Timeout(seconds, pytest.fail.Exception(late)):
            yield
        return

    def ring(number: int, frame: Any) -> None:
        pytest.fail(late)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _patched() -> bool:
    """Whether gevent has patched this process; never imports it, since tests of pure code do without."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


# -- no silent skip --------------------------------------------------------------------------------
def _no_skips() -> bool:
    return os.environ.get("ARIMONITOR_NO_SKIPS", "") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report: Any = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        item.config.stash[_skipped][item.nodeid] = _why(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report: Any = yield
    if report.skipped:
        collector.config.stash[_skipped][collector.nodeid] = _why(report)
    return report


def _why(report: Any) -> str:
    longrepr = report.longrepr
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[_skipped] and _no_skips() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.config.stash[_skipped]
    if not skipped or not _no_skips():
        return
    terminalreporter.section("ARIMONITOR_NO_SKIPS=1: a skipped test is a failed one", red=True, bold=True)
    for name, why in skipped.items():
        terminalreporter.line(f"{name}: {why}")


# -- real servers ----------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def asterisk22(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    """A running Asterisk 22 with `channelvars`; its phones are still to be registered."""
    from tests.servers.asterisk.bed import CHANNELVARS
    from tests.servers.asterisk.own import own_asterisk

    with own_asterisk("22", tmp_path_factory.mktemp("asterisk")) as server:
        server.start(channelvars=CHANNELVARS)
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A running RabbitMQ; a test takes an exchange and a queue of its own, and leaves it running."""
    from tests.servers.rabbitmq import RabbitMQ, unavailable_reason

    if reason := unavailable_reason():
        pytest.skip(f"no RabbitMQ: {reason}")
    with RabbitMQ() as server:
        yield server

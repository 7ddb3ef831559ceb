"""The root directories with Asterisk 22 and 16: built once, then kept."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]


class Unavailable(Exception):
    """There can be no Asterisk here; a test is to be skipped with this reason."""


def root_for(version: str) -> Path:
    """The root directory with Asterisk 22 or 16; built when it is missing."""
    cache = Path(os.environ.get("ARIMONITOR_TEST_CACHE") or REPOSITORY / ".cache")
    root = cache / f"asterisk-{version}"
    if (root / f".ready-{version}").exists():
        return root
    if os.getuid() != 0:
        raise Unavailable("building a root directory needs the user root")
    for tool in ("apt-get", "dpkg-deb", "chroot"):
        if shutil.which(tool) is None:
            raise Unavailable(f"no {tool} here")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"asterisk-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: one builds, the other waits
        built = subprocess.run(
            [HERE / "bootstrap", version, root], capture_output=True, text=True, check=False
        )
    if built.returncode:
        raise Unavailable(f"bootstrap {version}: {built.stderr.strip() or built.stdout.strip()}")
    return root

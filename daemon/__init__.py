"""ARIMONITOR: watches Asterisk through ARI and answers requests by mail.

This file imports nothing, so that `daemon.__main__` can patch the standard
library before anything else is loaded.
"""

__version__ = "0.1.0"

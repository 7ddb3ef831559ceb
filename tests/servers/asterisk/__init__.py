"""A real Asterisk for the tests: server, phones, recordings (see server.py and play.py)."""

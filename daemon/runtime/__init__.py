"""The home of gevent: supervision, offloading, signals, systemd, hub watch."""

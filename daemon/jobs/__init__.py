"""Requests: their form, their states, the queue and the work itself."""

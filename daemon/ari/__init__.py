"""Asterisk REST Interface: its events, its websocket, its REST calls."""

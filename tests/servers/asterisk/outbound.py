"""An Asterisk 22 that connects to us: its outbound event websocket."""

from __future__ import annotations

from .server import Asterisk

USER, PASSWORD = "node", "outbound-secret"  # what it says to us


class OutboundAsterisk(Asterisk):
    """Connects with a user name and a password."""

    username, password, subscribe_all = USER, PASSWORD, True

    def start_towards(self, *nodes: tuple[int, str], channelvars: str | None = None) -> None:
        """Configure and start it; it connects to each node: a port of the loopback, the application."""
        self._configure(channelvars, 0, None)
        self._configure_outbound(*nodes)
        self.restart()

    def _configure_outbound(self, *nodes: tuple[int, str]) -> None:
        place = self.home / "etc/asterisk"
        clients = (place / "websocket_client.conf").open("w")
        with clients, (place / "ari.conf").open("a") as ari:
            for port, app in nodes:
                clients.write(
                    f"[{app}]\ntype = websocket_client\nconnection_type = persistent\n"
                    f"uri = ws://127.0.0.1:{port}/pbx\nprotocols = ari\nreconnect_interval = 200\n"
                    f"connection_timeout = 1000\nusername = {self.username}\npassword = {self.password}\n"
                )
                ari.write(
                    f"\n[{app}]\ntype = outbound_websocket\nwebsocket_client_id = {app}\napps = {app}\n"
                    f"subscribe_all = {'yes' if self.subscribe_all else 'no'}\nlocal_ari_user = monitor\n"
                )

"""An Asterisk 22 that connects to us: its outbound event websocket."""

from __future__ import annotations

from .server import Asterisk

USER, PASSWORD = "node", "outbound-secret"  # what it says to us


class OutboundAsterisk(Asterisk):
    """Connects with a user name and a password."""

    username, password, subscribe_all = USER, PASSWORD, True

    def start_towards(self, port: int, app: str, channelvars: str | None = None) -> None:
        """Configure and start it; it connects to a port of the loopback for this application."""
        self._configure(channelvars, 0, None)
        self._configure_outbound(f"ws://127.0.0.1:{port}/pbx", app)
        self.restart()

    def _configure_outbound(self, address: str, app: str) -> None:
        place = self.home / "etc/asterisk"
        (place / "websocket_client.conf").write_text(
            f"[monitor-a]\ntype = websocket_client\nconnection_type = persistent\nuri = {address}\n"
            "protocols = ari\nreconnect_interval = 200\nconnection_timeout = 1000\n"
            f"username = {self.username}\npassword = {self.password}\n"
        )
        with (place / "ari.conf").open("a") as conf:
            conf.write(
                f"\n[monitor-a]\ntype = outbound_websocket\nwebsocket_client_id = monitor-a\napps = {app}\n"
                f"subscribe_all = {'yes' if self.subscribe_all else 'no'}\nlocal_ari_user = monitor\n"
            )

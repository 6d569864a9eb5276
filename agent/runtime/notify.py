"""The systemd notification protocol (sd_notify(3)): readiness and the watchdog, over a datagram socket."""

import os
import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger()


class Notifier:
    """Tells the service manager how the agent is. Silent where there is none (no NOTIFY_SOCKET)."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self.watchdog = float(env.get("WATCHDOG_USEC", "0")) / 1e6 if self._address else 0.0

    def send(self, **fields: str | int) -> None:
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
                out.connect(self._address)
                out.sendall(message.encode())
        except OSError as error:
            log.warning("notify_failed", error=str(error))

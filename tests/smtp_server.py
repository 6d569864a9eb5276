"""A real SMTP server on loopback (aiosmtpd) that takes mail, refuses what it is told to, and keeps what it got."""

import asyncio
import contextlib
import socket
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


@dataclass
class MailBox:
    """`refuse` answers RCPT by address, `data` the end of a message; each answer is used once, unless it stays.
    For `late` seconds it says nothing about a mail that it has taken."""

    user: str = "codeblue"
    password: str = "s3cr3t-mail"
    refuse: dict[str, list[str]] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    login: list[str] = field(default_factory=list)
    got: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    port: int = 0
    logins: int = 0
    late: float = 0.0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.refuse.get(address):
            return self.refuse[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.data:
            return self.data.pop(0)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append((list(envelope.rcpt_tos), message))
        await asyncio.sleep(self.late)
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins += 1
        if self.login:
            return AuthResult(success=False, handled=False, message=self.login.pop(0))
        assert isinstance(data, LoginPassword)
        known = (data.login, data.password) == (self.user.encode(), self.password.encode())
        return AuthResult(success=known, handled=False)


class OnSocket(Controller):
    """Listens on a socket that is bound already, so that nobody else can take its port."""

    def __init__(self, listener: socket.socket, *args: Any, **more: Any) -> None:
        self._listener = listener
        super().__init__(*args, **more)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._listener, ssl=self.ssl_context)


@contextlib.contextmanager
def smtp_server(
    context: ssl.SSLContext | None = None, *, at_once: bool = False, auth: bool = True
) -> Iterator[MailBox]:
    """With a context it offers STARTTLS and wants it before a login, or speaks TLS `at_once`."""
    box = MailBox()
    tls: dict[str, Any] = {"ssl_context": context} if at_once else {"tls_context": context}
    if auth:
        wants_tls = context is not None and not at_once
        tls |= {"authenticator": box.authenticate, "auth_required": True, "auth_require_tls": wants_tls}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        box.port = listener.getsockname()[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it wants a login without STARTTLS: it has TLS already
            controller = OnSocket(listener, box, hostname="127.0.0.1", port=box.port, **tls)
            controller.start()
            try:
                yield box
            finally:
                controller.stop()

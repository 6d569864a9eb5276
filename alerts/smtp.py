"""One SMTP session: connect, secure, log in, hand over a message; and what each answer of a server means.

Blocks: run it in a thread of its own (`agent.threads`), which also bounds the time in all.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent.core.plain_text import one_line
from agent.ports import DeliveryError
from alerts.text import clip

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

Security = Literal["starttls", "tls", "none"]
PORTS: Mapping[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
_AUTH = frozenset({530, 534, 535, 538})  # RFC 4954: a login is needed, too weak, refused, or needs encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed over, and as whom. `timeout` (seconds) is for connecting and for each answer."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = ""
    timeout: float = 15.0
    ca_file: str | None = None

    def try_login(self) -> None:
        """Everything but a message. Raises DeliveryError."""
        with self._session() as session:
            session.noop()

    def hand_over(self, message: "EmailMessage", sender: str, to: Sequence[str]) -> Mapping[str, DeliveryError]:
        """Send it to these addresses. Returns those that the server did not take, and why; raises DeliveryError when it
        took none."""
        import smtplib

        with self._session() as session:
            try:
                refused = session.send_message(message, sender, list(to))
            except smtplib.SMTPRecipientsRefused as error:
                refused = error.recipients
            found = {address: self._judged(code, text) for address, (code, text) in refused.items()}
        if found and len(found) == len(set(to)):
            errors = list(found.values())
            raise next((error for error in errors if error.retryable), errors[0])
        return found

    @contextmanager
    def _session(self) -> Iterator["smtplib.SMTP"]:
        session: smtplib.SMTP | None = None
        try:
            session = self._connected()
            yield session
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - texts of exceptions may hold what was sent
            raise self._failure(error) from None
        finally:
            if session is not None:
                _leave(session)

    def _connected(self) -> "smtplib.SMTP":
        """A session that is secured and logged in."""
        import smtplib

        context = ssl.create_default_context(cafile=self.ca_file) if self.security != "none" else None
        name = socket.gethostname() or "localhost"  # the default asks DNS, which may hang
        session: smtplib.SMTP
        if self.security == "tls":
            session = smtplib.SMTP_SSL(self.host, self.port, local_hostname=name, timeout=self.timeout, context=context)
        else:
            session = smtplib.SMTP(self.host, self.port, local_hostname=name, timeout=self.timeout)
        try:
            if self.security == "starttls":
                session.starttls(context=context)
            if self.user:
                session.login(self.user, self.password)
        except BaseException:
            _leave(session)
            raise
        return session

    def _failure(self, error: Exception) -> DeliveryError:
        import smtplib

        if isinstance(error, smtplib.SMTPResponseException):  # sender or data refused, login refused, greeting
            return self._judged(error.smtp_code, error.smtp_error)
        if isinstance(error, smtplib.SMTPNotSupportedError):
            what = "offers no encryption (STARTTLS)" if "STARTTLS" in str(error) else "can't do what this message needs"
            return self._error("invalid", what, retryable=False)
        if isinstance(error, smtplib.SMTPServerDisconnected):
            return self._error("network", "closed the connection", retryable=True)
        if isinstance(error, smtplib.SMTPException):  # no method of login in common
            return self._error("auth", "takes no login that we know", retryable=False)
        if isinstance(error, TimeoutError):
            return self._error("timeout", f"did not answer within {self.timeout:g} s", retryable=True)
        if isinstance(error, ssl.SSLError):
            return self._error("network", f"has no TLS that can be trusted: {error.reason}", retryable=True)
        if isinstance(error, OSError):
            return self._error("network", f"can't be connected to: {error.strerror or type(error).__name__}")
        return self._error("invalid", f"can't be given this message ({type(error).__name__})", retryable=False)

    def _judged(self, code: int, text: bytes | str) -> DeliveryError:
        """RFC 5321, section 4.2.1: 4yz may work later, 5yz will not."""
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if self.password:
            said = said.replace(self.password, "***")
        what = f"answered {code} {clip(one_line(said), 200)}".strip()
        if code in _AUTH:
            return self._error("auth", what, retryable=False)
        if 500 <= code < 600:
            return self._error("not_found" if code in (550, 551, 553) else "invalid", what, retryable=False)
        return self._error("server", what)

    def _error(self, reason: str, what: str, *, retryable: bool = True) -> DeliveryError:
        return DeliveryError(reason, f"{self.host} {what}", retryable=retryable)


def _leave(session: "smtplib.SMTP") -> None:
    """A polite end; what was handed over is handed over, however it goes."""
    import smtplib

    try:
        session.quit()
    except (smtplib.SMTPException, OSError):
        session.close()

"""The mail channel: the mails of one incident as one conversation, through an SMTP server with STARTTLS and a login."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from annotated_types import Gt
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema, model_validator

from agent.core.commands import Notice, NoticeKind
from agent.durations import Duration
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from agent.threads import Busy, OwnThreads
from alerts.mail_message import mail, receipt
from alerts.rendering import as_seen_here
from alerts.smtp import PORTS, MailServer, Security

_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_HANGING = 8  # sessions that may be left behind, hanging, before new ones are put off
_HALF_SENT = 1_000  # mails that some of their addresses got and others not yet, remembered at most
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _an_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("expected an address such as oncall@example.com")
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


MailAddress = Annotated[str, AfterValidator(_an_address)]
MailAddresses = Annotated[
    tuple[MailAddress, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class MailOptions(Options):
    """Where mail is handed over. A page to a person goes to that person's address, everything else to `to`."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "host": "smtp.example.com",
                    "user": "codeblue",
                    "password_file": "/etc/codeblue/mail.password",
                    "from": "codeblue@example.com",
                    "to": "oncall@example.com",
                }
            ]
        },
    )

    host: str = Field(min_length=1, description="The SMTP server")
    port: int | None = Field(default=None, ge=1, le=65535, description="Default: 587, 465 for tls, 25 for none")
    security: Security = Field(
        default="starttls", description="starttls insists on it, tls speaks TLS from the start, none is for loopback"
    )
    user: str = Field(default="", description="Whom to log in as; without it nobody logs in")
    password: SecretStr = Field(default=SecretStr(""), description="The password of that user")
    from_: MailAddress = Field(alias="from", description="The sender's address")
    to: MailAddresses = Field(default=(), description="Who gets what is not for one person's address")
    updates: bool = Field(default=True, description="Also say what changes while an incident is open")
    ca_file: str | None = Field(default=None, description="Certificate authorities to trust instead of the system's")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=20), description="How long the whole delivery of one mail may take"
    )

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> "MailOptions":
        if self.security == "none" and self.user and self.host not in _LOOPBACK:
            raise ValueError("security: none would send the password in the clear: use starttls or tls")
        if bool(self.user) != bool(self.password.get_secret_value()):
            raise ValueError("expected user and password together")
        return self


class MailChannel:
    """Delivered is what the server took responsibility for. A receipt holds `message_id`, and `subject`, the one that
    all mails of the incident have."""

    def __init__(self, name: str, options: MailOptions) -> None:
        self._options = options
        self._timeout = options.timeout.total_seconds()
        self._server = MailServer(
            host=options.host,
            port=options.port or PORTS[options.security],
            security=options.security,
            user=options.user,
            password=options.password.get_secret_value(),
            timeout=self._timeout,
            ca_file=options.ca_file,
        )
        self._threads = OwnThreads(f"channel-{name}", at_most=_HANGING)
        self._left: OrderedDict[str, Sequence[str]] = OrderedDict()  # by key: who has not got it yet

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        to = [notice.to] if notice.to else list(self._options.to)
        if not to:
            raise DeliveryError("invalid", "the channel has no address: say `to:`", retryable=False)
        if wrong := [address for address in to if not _ADDRESS.fullmatch(address)]:
            raise DeliveryError("invalid", f"{wrong[0]!r} is no mail address", retryable=False)
        if notice.kind is NoticeKind.UPDATE and not self._options.updates:
            return Receipt(data={"left_out": "updates: false"})
        message = mail(as_seen_here(notice, opening), opening, self._options.from_, ", ".join(to))
        left = self._left.get(notice.key, to)
        refused = await self._run(partial(self._server.hand_over, message, self._options.from_, left))
        self._left.pop(notice.key, None)
        if refused:
            self._remember(notice.key, [address for address in left if address in refused])
            raise next((error for error in refused.values() if error.retryable), next(iter(refused.values())))
        return receipt(message, opening)

    async def verify(self) -> None:
        """Connect, secure and log in; no mail is sent."""
        await self._run(self._server.try_login)

    async def close(self) -> None:
        """Nothing is kept open between mails."""

    async def _run(self, call: Any) -> Mapping[str, DeliveryError]:
        try:
            refused = await self._threads.run(call, self._timeout)
        except TimeoutError:
            host = self._options.host
            raise DeliveryError("timeout", f"{host} took more than {self._timeout:g} s", retryable=True) from None
        except Busy as busy:
            raise DeliveryError("timeout", f"{self._options.host} hangs: {busy}", retryable=True) from None
        return refused or {}

    def _remember(self, key: str, left: Sequence[str]) -> None:
        self._left[key] = left
        while len(self._left) > _HALF_SENT:
            self._left.popitem(last=False)


MAIL = ChannelType(
    name="mail",
    options=MailOptions,
    build=MailChannel,
    about="Sends mail through an SMTP server; the mails of one incident are one conversation.",
    per_second=5.0,
)

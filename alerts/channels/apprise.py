"""The apprise channel: SMS, WhatsApp, Telegram, Teams, ntfy and a hundred more ways, each by one URL of apprise's.

Needs the extra `apprise`, which is imported in a thread, and only where such a channel is configured. It tells neither
a lasting failure from a passing one nor anything about why, so both are found in what it logs (`apprise_errors`).
"""

import logging
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from annotated_types import Gt
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from agent.core.commands import Notice, NoticeKind
from agent.durations import Duration
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from agent.threads import Busy, OwnThreads
from alerts.apprise_errors import why_not
from alerts.rendering import as_seen_here, headline, layout
from alerts.short_text import short_text
from alerts.smtp import MailServer, Security
from alerts.text import clip

if TYPE_CHECKING:
    from apprise import NotifyBase

T = TypeVar("T")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*://\S+")
_ADDRESS = "{to}"
_SAMPLES = ("+15555550100", "someone@example.com", "U01234567")  # addresses that some service takes for one
_SHORT = 500  # characters; a medium that holds less and has no titles is a text message
_LONGEST = 8_000  # characters of a full text
_HANGING = 8
_HALF_SENT = 1_000
_LOADING = Lock()  # apprise finds its hundred modules on first use
_TYPES: Mapping[NoticeKind, str] = {
    NoticeKind.OPENED: "failure",
    NoticeKind.REMINDER: "failure",
    NoticeKind.UPDATE: "warning",
    NoticeKind.RESOLVED: "success",
    NoticeKind.NOTE: "info",
}


def _a_url(url: SecretStr) -> SecretStr:
    if not _SCHEME.fullmatch(url.get_secret_value()):
        raise ValueError("expected a URL of apprise's, such as ntfy://ntfy.sh/topic or twilio://SID:TOKEN@FROM/{to}")
    return url


AppriseUrl = Annotated[SecretStr, AfterValidator(_a_url)]


class AppriseOptions(Options):
    """`{to}` in a URL stands for the address of whoever is paged, else for `to`. URLs are secrets as a whole."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url_file": "/etc/codeblue/sms.url", "style": "short"}, {"url": "ntfys://x"}]}
    )

    url: AppriseUrl | None = Field(default=None, description="Where to send, see github.com/caronc/apprise/wiki")
    urls: tuple[AppriseUrl, ...] = Field(default=(), description="Several of them, each of which gets every message")
    to: str = Field(default="", description="What {to} stands for in messages to nobody in particular")
    updates: bool = Field(default=False, description="Also say what changes while an incident is open")
    style: Literal["auto", "short", "full"] = Field(
        default="auto", description="short is one line for a telephone; auto is short where the service is for those"
    )
    length: int | None = Field(
        default=None, ge=40, le=10_000, description="Characters of a short text at most. Default: 160, or 320"
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=20), description="How long one delivery may take"
    )

    @model_validator(mode="after")
    def _some_url(self) -> "AppriseOptions":
        if bool(self.url) == bool(self.urls):
            raise ValueError("expected either url or urls")
        return self

    @property
    def all_urls(self) -> tuple[str, ...]:
        return tuple(url.get_secret_value() for url in ((self.url,) if self.url else self.urls))


class AppriseChannel:
    """Delivered is what every URL's service took. A retry goes only to those that did not."""

    def __init__(self, name: str, options: AppriseOptions) -> None:
        self._options = options
        self._timeout = options.timeout.total_seconds()
        self._threads = OwnThreads(f"channel-{name}", at_most=_HANGING)
        self._taken: OrderedDict[str, set[int]] = OrderedDict()  # by key: the URLs that have it

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        if notice.kind is NoticeKind.UPDATE and not self._options.updates:
            return Receipt(data={"left_out": "updates: false"})
        notice = as_seen_here(notice, opening)
        urls = [_addressed(url, notice, self._options.to) for url in self._options.all_urls]
        taken = self._taken.setdefault(notice.key, set())
        errors = []
        for number, url in enumerate(urls):
            if number in taken:
                continue
            try:
                await self._run(partial(_notify, url, notice, self._options))
                taken.add(number)
            except DeliveryError as error:
                errors.append(error)
        if errors:
            while len(self._taken) > _HALF_SENT:
                self._taken.popitem(last=False)
            raise next((error for error in errors if error.retryable), errors[0])
        del self._taken[notice.key]
        return Receipt()

    async def verify(self) -> None:
        """Every URL is one that apprise understands; for mail, the server lets us log in. Nothing is sent."""
        for url in self._options.all_urls:
            await self._run(partial(_verify, url, self._options.to))

    async def close(self) -> None:
        """Nothing is kept open between messages."""

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await self._threads.run(call, self._timeout)
        except TimeoutError:
            raise DeliveryError("timeout", f"took more than {self._timeout:g} s", retryable=True) from None
        except Busy as busy:
            raise DeliveryError("timeout", f"hangs: {busy}", retryable=True) from None


def _addressed(url: str, notice: Notice, default: str) -> str:
    """The URL with the address in its place. Raises DeliveryError where there is no place, or no address."""
    if notice.to and _ADDRESS not in url:
        raise DeliveryError("invalid", f"the URL has no {{to}} for the address of {notice.person}", retryable=False)
    to = notice.to or default
    if _ADDRESS in url and not to:
        raise DeliveryError("invalid", "the URL has a {to}, and the channel no address: say `to:`", retryable=False)
    return url.replace(_ADDRESS, quote(to, safe=""))


def _service(url: str) -> "NotifyBase":
    """What apprise makes of the URL. Raises DeliveryError."""
    try:
        from apprise import Apprise, AppriseAsset, PersistentStoreMode
    except ImportError:
        text = f"apprise is not installed here: {sys.executable} -m pip install apprise"
        raise DeliveryError("invalid", text, retryable=False) from None

    logger = logging.getLogger("apprise")
    logger.propagate = False  # what it logs holds addresses and texts; only its own capture gets to see it
    logger.setLevel(logging.DEBUG)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # writes URLs, which are secrets
    asset = AppriseAsset(
        app_id="codeblue",
        app_desc="codeblue",
        app_url="",
        async_mode=False,
        storage_mode=PersistentStoreMode.MEMORY,
    )
    with _LOADING:
        found = Apprise.instantiate(url, asset=asset)
    if found is None:
        scheme = url.partition("://")[0]
        raise DeliveryError("invalid", f"apprise does not understand this {scheme}:// URL", retryable=False)
    return found


def _notify(url: str, notice: Notice, options: AppriseOptions) -> None:
    """Send one notice through one URL. Raises DeliveryError. Blocks."""
    from apprise import Apprise, NotifyFormat

    service = _service(url)
    title, body = wording(notice, options, service.title_maxlen, service.body_maxlen)
    said: list[str] = []
    sender = Apprise(log_level=logging.DEBUG, log_callback=lambda entry, _: said.append(entry.message))
    sender.add(service)
    try:
        taken = sender.notify(
            body=body, title=title, notify_type=_TYPES[notice.kind], body_format=NotifyFormat.TEXT.value
        )
    except Exception as error:  # noqa: BLE001 - its text may hold the URL
        text = f"{service.service_name} can't be given this message ({type(error).__name__})"
        raise DeliveryError("invalid", text, retryable=False) from None
    if not taken:
        raise why_not(str(service.service_name), said, lambda status: _meaning(service, status))


def wording(notice: Notice, options: AppriseOptions, title_room: int, body_room: int) -> tuple[str, str]:
    """Title and body for a medium with so much room: one line for a telephone, the whole story elsewhere."""
    telephone = title_room == 0 and body_room < _SHORT
    if options.style == "short" or (options.style == "auto" and telephone):
        room = options.length or (320 if body_room >= 320 else 160)
        return "", short_text(notice, max(40, min(room, body_room)))
    first = headline(notice)
    rest = "\n".join(line.text.strip() for line in layout(notice)[1:])
    room = min(body_room, _LONGEST) - (len(first) + 2 if title_room < len(first) else 0)
    return first, clip(rest or first, max(room, 40), len)


def _meaning(service: Any, status: int) -> str:
    return str(service.http_response_code_lookup(status) or "").strip(" .")


def _verify(url: str, default: str) -> None:
    """Raises DeliveryError. Blocks."""
    addresses = [default] if default else list(_SAMPLES)
    service = None
    for address in addresses if _ADDRESS in url else [""]:
        try:
            service = _service(url.replace(_ADDRESS, quote(address, safe="")))
            break
        except DeliveryError as error:
            failed = error
    if service is None:
        raise failed
    if server := _mail_server(service):
        server.try_login()


def _mail_server(service: Any) -> MailServer | None:
    """The server behind a mailto:// URL, where we would check its certificate as apprise does."""
    host, port, mode = (getattr(service, name, None) for name in ("smtp_host", "port", "secure_mode"))
    if not host or not port or mode is None or not getattr(service, "verify_certificate", True):
        return None
    modes: Mapping[str, Security] = {"ssl": "tls", "starttls": "starttls", "insecure": "none"}
    return MailServer(
        host=str(host),
        port=int(port),
        security=modes.get(str(getattr(mode, "value", mode)), "starttls"),
        user=service.user or "",
        password=service.password or "",
    )


APPRISE = ChannelType(
    name="apprise",
    options=AppriseOptions,
    build=AppriseChannel,
    about="Sends through any of apprise's services: SMS, WhatsApp, Telegram, Teams, PagerDuty, Opsgenie, ntfy …",
    per_second=5.0,
)

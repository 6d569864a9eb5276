"""The options of the http check."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from annotated_types import Gt
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from agent.durations import Duration
from agent.ports import Options
from checks.address import Family
from checks.each_address import ABOUT as EACH
from checks.each_address import Addresses
from checks.json_path import parse_path
from checks.match import PatternText, TextOrPattern, check_expectation

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS = re.compile(r"[1-5](?:xx|\d\d)")


def _url(text: str) -> str:
    if any(c <= " " for c in text):
        raise ValueError("a URL has no spaces and no line breaks")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"expected a URL such as https://photos.internal/health: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("expected a URL that starts with http:// or https://")
    if not parts.hostname:
        raise ValueError("the URL names no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("credentials do not belong in the URL: write auth: {user: …, password: …}")
    try:
        fine = parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"{parts.netloc.rpartition(':')[2]!r} is not a port: expected 1 to 65535")
    return text


def _name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not a header name")
    return text


def _one_line(value: SecretStr) -> SecretStr:
    if any(c in value.get_secret_value() for c in "\r\n\0"):
        raise ValueError("a header value has no line breaks")
    return value


def _method(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not an HTTP method")
    return text.upper()


def _statuses(value: Any) -> Any:
    entries = value if isinstance(value, list | tuple) else [value]
    texts = tuple(str(entry).lower() for entry in entries if not isinstance(entry, bool))
    if not texts or len(texts) != len(entries) or not all(_STATUS.fullmatch(text) for text in texts):
        raise ValueError("expected a status such as 200, a class such as 2xx, or a list of these")
    return texts


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # it would be taken for 1
        raise ValueError(f"expected how many are followed, such as 5; got {str(value).lower()}")
    return value


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _version(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Statuses = Annotated[tuple[str, ...], BeforeValidator(_statuses, json_schema_input_type=int | str | list[int | str])]
Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_texts, json_schema_input_type=str | list[str])
]
HeaderName = Annotated[str, AfterValidator(_name)]
HeaderValue = Annotated[SecretStr, AfterValidator(_one_line)]
Positive = Annotated[Duration, Gt(timedelta(0))]


class Auth(Options):
    """Either a user with a password (HTTP Basic) or a bearer token."""

    user: str | None = Field(default=None, pattern=r"^[^:]*$", description="name for HTTP Basic; needs password")
    password: SecretStr | None = Field(default=None, description="password for HTTP Basic; needs user")
    bearer: HeaderValue | None = Field(
        default=None, min_length=1, description="token, sent as Authorization: Bearer; instead of user and password"
    )

    @model_validator(mode="after")
    def _either(self) -> "Auth":
        basic = self.user is not None and self.password is not None
        if (self.user is None) != (self.password is None) or basic == (self.bearer is not None):
            raise ValueError("expected {user: …, password: …} or {bearer: …}")
        return self


class Expect(Options):
    """What the answer must be like."""

    status: Statuses = Field(default=("200",), description="status, class such as 2xx, or a list of these")
    headers: dict[HeaderName, TextOrPattern] | None = Field(
        default=None, description="exact values, or /regular expressions/"
    )
    text: Texts | None = Field(default=None, description="texts that the body must have, all of them")
    not_text: Texts | None = Field(default=None, description="texts that the body must not have, none of them")
    regex: PatternText | None = Field(default=None, description="a regular expression that is found in the body")
    json_: dict[str, Any] | None = Field(
        default=None,
        alias="json",
        description='values by JSON path, such as {"$.status": ok, "$.queue.length": "< 100"}',
    )
    latency: Positive | None = Field(default=None, description="a slower answer is a FAIL")
    warn_latency: Positive | None = Field(default=None, description="a slower answer is a WARN")
    max_size: int | None = Field(default=None, ge=0, description="a body of more bytes is a FAIL")

    @field_validator("json_")
    @classmethod
    def _paths(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        for path, expected in (value or {}).items():
            parse_path(path)
            check_expectation(expected)
        return value


class CertificateLimits(Options):
    """How many days a certificate must still be valid. 0 warns of nothing; an expired one always fails."""

    warn_days: float = Field(default=21, ge=0, description="a certificate with fewer days left is a WARN")
    fail_days: float = Field(default=7, ge=0, description="a certificate with fewer days left is a FAIL")


class HttpOptions(Options):
    """Ask a URL on a connection of its own, and hold the answer against what is expected."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        description="what is asked, http:// or https://; credentials belong in auth"
    )
    method: Annotated[str, AfterValidator(_method)] = Field(default="GET", description="the HTTP method")
    headers: dict[HeaderName, HeaderValue] | None = Field(
        default=None, description="sent with the request; their values are never shown anywhere"
    )
    body: str | None = Field(default=None, description="sent with the request, in UTF-8")
    auth: Auth | None = Field(default=None, description="either user and password, or bearer")
    expect: Expect | None = Field(default=None, description="without it: status 200")
    body_limit: int = Field(default=1_048_576, ge=0, le=104_857_600, description="bytes of the body that are read")
    redirects: Annotated[int, BeforeValidator(_number)] = Field(
        default=0, ge=0, le=20, description="how many are followed; at 0 a redirect is the answer"
    )
    family: Family = Field(
        default="any", description="which addresses of the name are tried: IPv4 (4), IPv6 (6) or both"
    )
    addresses: Addresses = Field(default="any", description=EACH)
    verify: bool = Field(
        default=True, description="false: takes a certificate that is not trusted; the time it has left still counts"
    )
    ca_file: str | None = Field(default=None, description="PEM file of trusted certificates, instead of the host's own")
    client_cert: str | None = Field(
        default=None, description="PEM file of the certificate that the agent shows to the server"
    )
    client_key: str | None = Field(default=None, description="PEM file; without it the key is in client_cert")
    server_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="the name that TLS and the Host header say, when the URL has another",
    )
    http_version: Annotated[Literal["1.1", "2"], BeforeValidator(_version)] | None = Field(
        default=None, description="the version that is asked for; an answer in another is a FAIL"
    )
    certificate: CertificateLimits | None = Field(
        default=None, description="without it: warn 21 days before, fail 7 days before"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "HttpOptions":
        if self.expect and self.expect.max_size is not None and self.expect.max_size >= self.body_limit:
            raise ValueError("expect.max_size must be below body_limit: no more than that is read")
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert")
        if self.auth and self.headers and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("auth and an Authorization header exclude each other")
        return self

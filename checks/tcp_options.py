"""The options of the tcp check."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from agent.ports import Options
from checks.address import AddressText, Family
from checks.each_address import ABOUT as EACH
from checks.each_address import Addresses
from checks.match import slashed

_ESCAPE = re.compile(r"\\(?:([rnt0\\])|x([0-9a-fA-F]{2})|(.|$))", re.DOTALL)
_NAMED = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


@lru_cache(maxsize=1024)
def unescape(text: str) -> bytes:
    r"""The bytes that a text with \r \n \t \0 \\ and \xNN stands for, the rest in UTF-8. Raises ValueError."""
    parts, at = [], 0
    for match in _ESCAPE.finditer(text):
        if match[3] is not None:
            raise ValueError(
                f"\\{match[3]} is not an escape that is known: write \\r \\n \\t \\0 \\xNN, or \\\\ for \\"
            )
        parts.append(text[at : match.start()].encode())
        parts.append(_NAMED[match[1]] if match[1] else bytes([int(match[2], 16)]))
        at = match.end()
    return b"".join([*parts, text[at:].encode()])


def _escaped(text: str) -> str:
    unescape(text)
    return text


def _expected(text: str) -> str:
    if slashed(text) is None:
        unescape(text)
    return text


class TcpOptions(Options):
    """A connection to an address, and what is said over it."""

    address: AddressText = Field(description="host:port, such as db.internal:5432 or [::1]:5432")
    send: Annotated[str, AfterValidator(_escaped)] | None = Field(
        default=None, description=r"text that is sent; \r \n \t \0 \xNN are read"
    )
    expect: Annotated[str, AfterValidator(_expected)] | None = Field(
        default=None, min_length=1, description="text that the answer must have, or a /regular expression/"
    )
    family: Family = Field(
        default="any", description="which addresses of the name are tried: IPv4 (4), IPv6 (6) or both"
    )
    addresses: Addresses = Field(default="any", description=EACH)
    tls: bool = Field(default=False, description="true: shakes hands in TLS before anything is sent")
    verify: bool = Field(default=True, description="false: takes a certificate that is not trusted; needs tls")
    ca_file: str | None = Field(default=None, description="PEM file of trusted certificates, instead of the host's own")
    server_name: str | None = Field(default=None, description="the name that TLS asks for and verifies")

    @model_validator(mode="after")
    def _consistent(self) -> "TcpOptions":
        if not self.tls and (self.ca_file or self.server_name or not self.verify):
            raise ValueError("verify, ca_file and server_name need tls: true")
        return self

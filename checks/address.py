"""Places on the network as people write them: `host:port`, `[::1]:443`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

_PLACE = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:/@\[\]]+)):(?P<port>\d{1,5})")


def split_address(text: str) -> tuple[str, int]:
    """Host (an IPv6 address without its brackets) and port. Raises ValueError with what was expected."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address: expected host:port, such as db.internal:5432 or [::1]:5432")
    port = int(match["port"])
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a port: expected 1 to 65535")
    return match["six"] or match["host"], port


def join_address(host: str, port: int) -> str:
    """The text that `split_address` reads."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _checked(text: str) -> str:
    split_address(text)
    return text


AddressText = Annotated[str, AfterValidator(_checked)]
"""An option that names a place, kept as it was written."""

Family = Literal["any", 4, 6]
"""Which addresses of a name are asked."""


def family_number(family: Family) -> int:
    """The same as the contracts write it: 4, 6, or 0 for either."""
    return 0 if family == "any" else family

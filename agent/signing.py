"""How requests to other people's servers are signed and told apart. Pure."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from agent import __version__

_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


def signed_headers(key: str, payload: bytes, secret: str, at: datetime) -> Mapping[str, str]:
    """The headers of one try to send a JSON body. `Idempotency-Key` is the key, with whatever a header can't hold
    percent-encoded; `X-Codeblue-Signature` is there where a secret is, see `signature`."""
    found = {
        "Content-Type": "application/json",
        "User-Agent": f"codeblue/{__version__}",
        "Idempotency-Key": plain_key(key),
    }
    if secret:
        found["X-Codeblue-Signature"] = signature(payload, secret, at)
    return found


def plain_key(key: str) -> str:
    """The key in printable ASCII without blanks: whatever else is in it is percent-encoded."""
    return quote(key, safe=_HEADER_SAFE, errors="replace")


def signature(payload: bytes, secret: str, at: datetime) -> str:
    """`t=<unix seconds>,v1=<hex>`, where hex is HMAC-SHA256 under the secret of the text `<t>.<body>`.

    To verify: compute the same over the bytes received, compare in constant time, and refuse a `t` that is more than
    five minutes away, so that nobody can replay an old request. Every try is signed anew.
    """
    stamp = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + payload, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"

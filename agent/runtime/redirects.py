"""Where a redirect leads, and the request that it asks for."""

from dataclasses import replace
from urllib.parse import quote, urljoin, urlsplit

from agent.ports import HttpAnswer, HttpRequest

CODES = frozenset({301, 302, 303, 307, 308})
_KEPT = "%:/?#[]@!$&'()*+,;=~"  # RFC 3986: what a URL may hold beside letters, digits and - . _
_SECRET = ("authorization:", "cookie:", "host:")


def target(answer: HttpAnswer) -> str:
    """The absolute URL that an answer redirects to. What a URL may not hold is escaped, as browsers do. Raises
    ValueError for what leads nowhere."""
    location = answer.headers["location"]
    url = urljoin(answer.url, quote(location, safe=_KEPT, encoding="latin-1"))
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and (not parts.hostname or parts.port == 0):
        raise ValueError("it names no host" if parts.port != 0 else "0 is not a port")
    return url


def next_hop(request: HttpRequest, answer: HttpAnswer, url: str) -> HttpRequest:
    """The request that a redirect asks for (RFC 9110, 15.4): without its body where the method becomes GET, and
    without credentials and routes where the origin changes."""
    following = replace(request, url=url)
    if answer.status == 303 or (answer.status in (301, 302) and request.method == "POST"):
        following.method = "HEAD" if request.method == "HEAD" else "GET"
        following.body = None
    following.connection = None
    before, after = urlsplit(answer.url), urlsplit(url)
    if (before.scheme, before.hostname, before.port) != (after.scheme, after.hostname, after.port):
        following.userpwd = following.resolve_to = following.server_name = None
        following.headers = [line for line in request.headers if not line.lower().startswith(_SECRET)]
    return following

"""The probe engine: `ports.HttpClient` on libcurl."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from urllib.parse import urlsplit

import pycurl

from agent.ports import HttpAnswer, HttpRequest, ResolveError, Resolver
from agent.runtime import curl_answer, redirects
from agent.runtime.curl_options import Handle, Target, apply, apply_addresses, apply_route, is_plain, system_ca_file
from agent.runtime.curl_transfers import Transfers

_IDLE = 64  # handles kept, 5 KiB each: checks begin 25 at once, and the rest of a burst makes its own (15 µs)
_CA_FILES = 32  # bundles that are kept parsed beside the default one
_LATE = 0.25  # seconds: a timeout noticed this much after its time was our loop's stall
_VERSIONS = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    30: "3",
}

# Hosts that need no look-up; anything that this does not match takes the longer way.
_LITERAL = re.compile(r"https?://(?:\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.]+\]|localhost)(?::\d+)?(?:[/?#]|$)")


class CurlClient:
    """Each request on a connection of its own, in as many at once as are asked for; never blocks the loop.

    Proxies, netrc and cookies are ignored. Names are looked up by `resolver` for every request, redirects included.
    `ca_file` is the default bundle of trusted certificates; the host's own when None.
    """

    def __init__(self, resolver: Resolver, *, ca_file: str | None = None) -> None:
        self._resolver = resolver
        self._ca_file = ca_file or system_ca_file()
        self._transfers = Transfers()
        self._by_ca_file: dict[str, Transfers] = {}
        self._idle: list[Handle] = []
        self._closed = False

    async def fetch(self, request: HttpRequest) -> HttpAnswer:
        answer = await self._once(request)
        if request.max_redirects and answer.status in redirects.CODES and not answer.error:
            return await self._follow(request, answer)
        return answer

    async def close(self) -> None:
        """Break off what is under way (its answer is "local") and release every socket."""
        for transfers in (self._transfers, *self._by_ca_file.values()):
            transfers.close()
        self._closed = True
        while self._idle:
            self._idle.pop().curl.close()
        await asyncio.sleep(0)

    async def _once(self, request: HttpRequest) -> HttpAnswer:
        plain = is_plain(request) and _LITERAL.match(request.url) is not None
        handle = self._idle.pop() if self._idle else Handle(self._ca_file)
        transfers = self._transfers_of(request.ca_file) if request.ca_file else self._transfers
        looked_up, began = 0.0, monotonic()
        try:
            if plain:
                handle.prepare(request.url, request.headers, request.timeout, request.body_limit)
            else:
                looked_up = await self._prepare(handle, request)
            code = await transfers.start(handle.curl)
            return _read(handle, request, code, looked_up)
        except ResolveError as error:
            return HttpAnswer(error=error.reason, message=str(error), url=request.url, total=monotonic() - began)
        except (pycurl.error, ValueError, TypeError, KeyError) as error:
            plain = False
            return HttpAnswer(error="local", message=f"this request cannot be made: {error}", url=request.url)
        finally:
            transfers.drop(handle.curl)
            self._release(handle, plain)

    def _transfers_of(self, ca_file: str) -> Transfers:
        """libcurl keeps one parsed bundle per multi handle: two in turn would be read anew, 5 ms, for every request."""
        transfers = self._by_ca_file.get(ca_file)
        if transfers is None and len(self._by_ca_file) < _CA_FILES and not self._closed:
            transfers = self._by_ca_file[ca_file] = Transfers()
        return transfers or self._transfers

    async def _prepare(self, handle: Handle, request: HttpRequest) -> float:
        """Set everything that a request says. Returns the seconds that the look-up took."""
        target = Target(request.url)
        url, curl = request.url, handle.curl
        began = monotonic()
        name, address = request.server_name or target.host, request.resolve_to
        addresses = [address] if address else await self._addresses(target, request)
        looked_up = monotonic() - began
        if request.server_name or address:
            url = apply_route(curl, target, name, addresses[0] if addresses else target.host)
        elif addresses:
            apply_addresses(curl, target, addresses)
        handle.prepare(url, request.headers, request.timeout - looked_up, request.body_limit)
        apply(curl, request, https=target.https)
        return looked_up

    async def _addresses(self, target: Target, request: HttpRequest) -> list[str]:
        """What to connect to, looked up; empty when libcurl needs no help."""
        if _LITERAL.match(request.url):
            return []
        return list(await self._resolver.resolve(target.name, family=request.family, timeout=request.timeout))

    def _release(self, handle: Handle, plain: bool) -> None:
        if self._closed or len(self._idle) >= _IDLE:
            handle.curl.close()
        else:
            handle.clear() if plain else handle.reset()
            self._idle.append(handle)

    async def _follow(self, request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
        """Follow redirects by hand, so that each hop is looked up, limited and counted like a first request."""
        left, seconds, spent, hops = request.timeout, dict(answer.phases), answer.total, 0
        while answer.status in redirects.CODES and not answer.error and "location" in answer.headers:
            try:
                url = redirects.target(answer)
            except ValueError as error:
                where = answer.headers["location"]
                answer = replace(answer, error="redirects", message=f"redirected to {where!r}: {error}")
                break
            if hops == request.max_redirects:
                answer = replace(answer, error="redirects", message=f"more than {hops} redirects, the next to {url}")
                break
            if urlsplit(url).scheme not in ("http", "https"):
                answer = replace(answer, error="scheme", message=f"redirected to {url}, which is not followed")
                break
            if left - spent <= 0:
                answer = replace(answer, error="timeout", message=f"the redirects took all of {left:g} s")
                break
            request = replace(redirects.next_hop(request, answer, url), timeout=left - spent)
            answer = await self._once(request)
            hops += 1
            spent += answer.total
            _add(seconds, answer.phases)
        return replace(answer, redirects=hops, phases=seconds, total=spent)


def _add(seconds: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        seconds[name] = seconds.get(name, 0.0) + value


def _read(handle: Handle, request: HttpRequest, code: int, looked_up: float) -> HttpAnswer:
    curl = handle.curl
    get = curl.getinfo
    chunks = handle.chunks
    answer = HttpAnswer(
        status=get(pycurl.RESPONSE_CODE),
        headers=curl_answer.Headers(b"".join(handle.lines)),
        body=chunks[0] if len(chunks) == 1 else b"".join(chunks),
        phases=curl_answer.phases(curl, looked_up, https=request.url[:6] == "https:"),
        total=get(pycurl.TOTAL_TIME) + looked_up,
        address=get(pycurl.PRIMARY_IP) or "",
        url=request.url,
        http_version=_VERSIONS.get(get(pycurl.INFO_HTTP_VERSION), ""),
    )
    if code:
        _explain(answer, handle, code, request.timeout)
    if request.want_certificate:
        _add_certificate(answer, curl)
    return answer


def _explain(answer: HttpAnswer, handle: Handle, code: int, timeout: float) -> None:
    if handle.truncated:
        answer.truncated = True
        return
    message = handle.curl.errstr() or pycurl_text(code)
    answer.error, answer.message = curl_answer.slug(handle.curl, code, message), message
    if answer.error == "timeout" and answer.total > timeout + _LATE:
        answer.error = "local"
        answer.message = f"the agent was too busy to see the answer in time ({answer.total - timeout:.1f} s late)"


def pycurl_text(code: int) -> str:
    return "the probe engine is closed" if code < 0 else f"libcurl error {code}"


def _add_certificate(answer: HttpAnswer, curl: pycurl.Curl) -> None:
    answer.certificate_expires, told = curl_answer.certificate(curl)
    if answer.error == "certificate":
        told["problem"] = curl_answer.verify_problem(curl, answer.message)
    answer.certificate = told

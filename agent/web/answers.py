"""Answers: JSON, and long texts in chunks, between which other work of the loop may pass."""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import orjson
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

log = structlog.get_logger()

SEND_WITHIN = 60.0  # seconds for a whole answer to be read
GZIP = 31  # zlib's window bits for a gzip header and trailer


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no answer")


def to_json(value: Any) -> bytes:
    """Dataclasses, times (ISO 8601, UTC) and durations (seconds) included. Text that is no UTF-8 is replaced."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return orjson.dumps(_clean(value), default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _clean(value: Any) -> Any:
    """The same value with lone surrogates replaced, which come from undecodable names and outputs."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _clean(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(value) + b"\n", status, headers, media_type="application/json")


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header takes gzip."""
    for part in header.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks compressed as they come, quickly rather than well."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, GZIP)
    for chunk in chunks:
        if small := squeeze.compress(chunk):
            yield small
    yield squeeze.flush()


class Chunks(Response):
    """An answer that is made while it is sent. The loop gets its turn after each chunk, and a slow reader holds up
    nobody: the next chunk is made when the last one is on its way."""

    def __init__(self, chunks: Iterable[bytes], media_type: str, *, gzip: bool = False) -> None:
        super().__init__(None, media_type=None, headers={"content-type": media_type, "vary": "accept-encoding"})
        del self.headers["content-length"]
        self._chunks = chunks
        if gzip:
            self._chunks = gzipped(chunks)
            self.headers["content-encoding"] = "gzip"

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            try:
                async with asyncio.timeout(SEND_WITHIN):
                    await self._send_all(send)
            except TimeoutError:
                log.warning("reader_too_slow", path=scope["path"], seconds=SEND_WITHIN)
                return  # the server closes the connection of an answer that was not finished
        await send({"type": "http.response.body", "body": b""})

    async def _send_all(self, send: Send) -> None:
        for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)


def json_list(items: Iterable[Any], redact: Callable[[str], str], size: int = 200) -> Iterator[bytes]:
    """A JSON array of any length, some hundred items at a time."""
    part: list[Any] = []
    before = b"["
    for item in items:
        part.append(item)
        if len(part) == size:
            yield before + redact(to_json(part).decode())[1:-1].encode()
            part, before = [], b","
    yield (before if part else before.replace(b",", b"")) + redact(to_json(part).decode())[1:-1].encode() + b"]\n"

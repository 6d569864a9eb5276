"""Reading what is posted to the API, within bounds."""

import asyncio
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from agent.web.beats import PATIENCE

LONGEST_REQUEST = 256 * 1024  # bytes


async def json_body(request: Request) -> Any:
    """The JSON that was posted. Raises HTTPException for what is too long, too slow, or none."""
    try:
        return orjson.loads(await body_of(request, LONGEST_REQUEST))
    except ValueError as error:
        raise HTTPException(400, f"no JSON: {error}") from error


async def body_of(request: Request, longest: int) -> bytes:
    """What was posted, of so many bytes at most. Raises HTTPException for what is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > longest:
                    raise HTTPException(413, f"more than {longest // 1024} KiB")
    except TimeoutError:
        raise HTTPException(408, f"the request did not arrive within {PATIENCE:g} s") from None
    return bytes(body)

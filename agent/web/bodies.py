"""Reading what is posted to the API, within bounds."""

import asyncio
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from agent.web.beats import PATIENCE

LONGEST_REQUEST = 256 * 1024  # bytes
READ_ON = 1024 * 1024  # bytes of what is too long: who hangs up on somebody who still sends is not heard


async def json_body(request: Request) -> Any:
    """The JSON that was posted. Raises HTTPException for what is too long, too slow, or none."""
    try:
        return orjson.loads(await body_of(request, LONGEST_REQUEST))
    except ValueError as error:
        raise HTTPException(400, f"no JSON: {error}") from error


async def body_of(request: Request, longest: int) -> bytes:
    """What was posted, of so many bytes at most. Raises HTTPException for what is too long or too slow."""
    body, came = bytearray(), 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                came += len(chunk)
                if came <= longest:
                    body += chunk
                elif came > longest + READ_ON:
                    break
    except TimeoutError:
        raise HTTPException(408, f"the request did not arrive within {PATIENCE:g} s") from None
    if came > longest:
        raise HTTPException(413, f"more than {longest // 1024} KiB")
    return bytes(body)

"""The little HTTP that the bench itself speaks."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


async def get(url: str, timeout: float = 10.0) -> bytes:
    """The body of the answer to a GET. Raises OSError (a refusal, a time-out, a status that is not 200)."""
    parts = urlsplit(url)
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            chunks = []
            while chunk := await reader.read(1 << 18):
                chunks.append(chunk)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    if head.split(b" ", 2)[1] != b"200":
        raise OSError(f"{url}: {head.split(bytes([13]), 1)[0].decode('latin-1')}")
    return b"".join(chunks)

"""Talking to HAProxy through its runtime API (docs.haproxy.org, management guide 9.3), with a timeout."""

import asyncio
import csv
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

SOCKET = "/run/haproxy/admin.sock"
_LARGEST = 4_194_304  # bytes of an answer
_SERVER = re.compile(r"[A-Za-z0-9_.:-]{1,128}/[A-Za-z0-9_.:-]{1,128}")
_MAINTENANCE, _DRAIN = 0x01, 0x08  # of srv_admin_state: what was forced by command; the other bits have other reasons


def _server_name(text: str) -> str:
    if not _SERVER.fullmatch(text):
        raise ValueError(f"{text!r} is no server: expected BACKEND/SERVER, such as web/web-1")
    return text


ServerName = Annotated[str, AfterValidator(_server_name)]
"""The field type of a server's name in options, `BACKEND/SERVER`: nothing that could be another command."""


class NoServer(Exception):
    """HAProxy could not be asked, or said no. The text says which, with its own words."""


@dataclass(frozen=True, slots=True)
class Forced:
    """What somebody has forced on a server by command."""

    maintenance: bool
    drain: bool


async def forced(address: str, server: str, timeout: float) -> Forced:
    """What is forced on it now. Raises NoServer."""
    backend, name = server.split("/")
    said = await _ask(address, f"show servers state {backend}", timeout)
    rows = [line.split() for line in said.splitlines()]
    header = next((row[1:] for row in rows if row[:1] == ["#"]), [])
    if "srv_admin_state" not in header:
        raise NoServer(f"HAProxy says: {' '.join(said.split())[:200] or 'nothing'}")
    at, where = header.index("srv_admin_state"), header.index("srv_name")
    for row in rows:
        if len(row) > max(at, where) and row[0] != "#" and row[where] == name and row[at].isdigit():
            state = int(row[at])
            return Forced(maintenance=bool(state & _MAINTENANCE), drain=bool(state & _DRAIN))
    raise NoServer(f"HAProxy has no server {server}")


async def sessions(address: str, server: str, timeout: float) -> int:
    """How many sessions it has now. Raises NoServer."""
    backend, name = server.split("/")
    said = await _ask(address, f"show stat {backend} 4 -1", timeout)
    for row in csv.DictReader(said.removeprefix("# ").splitlines()):
        if (row.get("pxname"), row.get("svname")) == (backend, name) and (row.get("scur") or "").isdigit():
            return int(str(row["scur"]))
    raise NoServer(f"HAProxy does not say how many sessions {server} has")


async def set_state(address: str, server: str, state: str, timeout: float) -> None:
    """Make it "drain" or "ready". Raises NoServer, with what HAProxy said of it."""
    said = (await _ask(address, f"set server {server} state {state}", timeout)).strip()
    if said:
        raise NoServer(f"HAProxy says: {' '.join(said.split())[:200]}")


async def _ask(address: str, command: str, timeout: float) -> str:
    """One command on a connection of its own. `address` is a DaemonAddress."""
    try:
        async with asyncio.timeout(timeout):
            return (await _exchange(address, f"{command}\n".encode())).decode("utf-8", "replace")
    except TimeoutError:
        raise NoServer(f"HAProxy did not answer at {address} within {timeout:g} s") from None
    except OSError as error:
        raise NoServer(f"HAProxy can't be asked at {address}: {error.strerror or type(error).__name__}") from None


async def _exchange(address: str, command: bytes) -> bytes:
    if address.startswith("unix://"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix://"))
    else:
        parts = urlsplit(address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(command)
        await writer.drain()
        answer = bytearray()
        while len(answer) <= _LARGEST and (block := await reader.read(65_536)):
            answer += block
        return bytes(answer)
    finally:
        writer.transport.abort()

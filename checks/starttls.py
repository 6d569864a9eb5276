"""Servers that begin in the clear and are asked for TLS: what is said before the handshake, protocol by protocol."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Literal, get_args

Protocol = Literal["smtp", "imap", "pop3", "ftp", "postgres", "ldap"]
PROTOCOLS = get_args(Protocol)

_LIMIT = 65_536  # bytes of everything that a server says before TLS
_SHOWN = 120
_SSL_REQUEST = bytes.fromhex("00000008 04d2162f")  # PostgreSQL's SSLRequest: its length, and 80877103
_OID = b"1.3.6.1.4.1.1466.20037"  # LDAP's extended operation StartTLS, RFC 4511, 4.14
_EXTENDED = b"\x77" + bytes([len(_OID) + 2, 0x80, len(_OID)]) + _OID
_LDAP_REQUEST = b"\x30" + bytes([len(_EXTENDED) + 3]) + b"\x02\x01\x01" + _EXTENDED


class NotOffered(Exception):
    """The server said no, or something that its protocol does not know. The text is for people."""


class _Dialogue:
    """What is said in the clear, line by line, on a connected socket that does not block."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._read = 0

    async def say(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._connection, data)

    async def more(self) -> None:
        data = await self._loop.sock_recv(self._connection, 4096)
        self._read += len(data)
        if not data:
            raise NotOffered(f"it hung up after {shown(self._unread)}" if self._unread else "it hung up")
        if self._read > _LIMIT:
            raise NotOffered(f"it talked on for {_LIMIT} bytes")
        self._unread += data

    async def line(self) -> bytes:
        while b"\n" not in self._unread:
            await self.more()
        line, _, self._unread = self._unread.partition(b"\n")
        return line.rstrip(b"\r")

    async def bytes(self, count: int) -> bytes:
        while len(self._unread) < count:
            await self.more()
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def end(self) -> None:
        """Nothing may follow the server's yes: it would be read as if it had come through TLS."""
        if self._unread:
            raise NotOffered(f"it said {shown(self._unread)} in the clear after its yes")


async def ask_for_tls(protocol: Protocol, connection: socket.socket) -> None:
    """Bring a fresh connection to where the TLS handshake begins. Raises NotOffered, and OSError when it breaks; the
    caller sets the time limit."""
    dialogue = _Dialogue(connection)
    await _ASK[protocol](dialogue)
    dialogue.end()


async def _smtp(dialogue: _Dialogue) -> None:
    await _reply(dialogue, b"220")
    await dialogue.say(b"EHLO codeblue.invalid\r\n")
    offered = await _reply(dialogue, b"250")
    if b"STARTTLS" not in {line[4:].strip().upper() for line in offered}:
        raise NotOffered("it does not offer STARTTLS")
    await dialogue.say(b"STARTTLS\r\n")
    await _reply(dialogue, b"220")


async def _ftp(dialogue: _Dialogue) -> None:
    await _reply(dialogue, b"220")
    await dialogue.say(b"AUTH TLS\r\n")
    await _reply(dialogue, b"234")


async def _reply(dialogue: _Dialogue, code: bytes) -> list[bytes]:
    """All lines of one reply as SMTP and FTP have them: the last is the code and a blank."""
    lines = [await dialogue.line()]
    first = lines[0][:3]
    while not re.fullmatch(rb"\d{3}( .*)?", lines[-1], re.DOTALL) or lines[-1][:3] != first:
        lines.append(await dialogue.line())
    if first != code:
        raise NotOffered(f"it said {shown(lines[0])}")
    return lines


async def _imap(dialogue: _Dialogue) -> None:
    greeting = await dialogue.line()
    if not greeting.upper().startswith(b"* OK"):
        raise NotOffered(f"it said {shown(greeting)}")
    await dialogue.say(b"a STARTTLS\r\n")
    line = await dialogue.line()
    while line.startswith(b"* "):
        line = await dialogue.line()
    if not line.upper().startswith(b"A OK"):
        raise NotOffered(f"it said {shown(line)}")


async def _pop3(dialogue: _Dialogue) -> None:
    for request in (b"", b"STLS\r\n"):
        await dialogue.say(request)
        line = await dialogue.line()
        if not line.startswith(b"+OK"):
            raise NotOffered(f"it said {shown(line)}")


async def _postgres(dialogue: _Dialogue) -> None:
    await dialogue.say(_SSL_REQUEST)
    answer = await dialogue.bytes(1)
    if answer == b"N":
        raise NotOffered("it does not offer TLS (ssl = off)")
    if answer != b"S":
        raise NotOffered(f"it said {shown(answer)}")


async def _ldap(dialogue: _Dialogue) -> None:
    await dialogue.say(_LDAP_REQUEST)
    head = await dialogue.bytes(2)
    if head[0] != 0x30:
        raise NotOffered(f"it said {shown(head)}, which is no LDAP")
    length = head[1]
    if length & 0x80:
        length = int.from_bytes(await dialogue.bytes(length & 0x7F))
    if length > _LIMIT:
        raise NotOffered(f"it announced {length} bytes")
    message = await dialogue.bytes(length)
    code = _result_code(message)
    if code != 0:
        why = "what is no answer to StartTLS" if code is None else f"result code {code} to StartTLS"
        raise NotOffered(f"it gave {why}")


def _result_code(message: bytes) -> int | None:
    """The resultCode of an ExtendedResponse (BER tag 0x78) to message 1; None for anything else."""
    if message[:4] != b"\x02\x01\x01\x78":
        return None
    rest = message[4:]
    at = 1 + (rest[0] & 0x7F if rest[:1] and rest[0] & 0x80 else 0)
    return rest[at + 2] if rest[at : at + 2] == b"\x0a\x01" and len(rest) > at + 2 else None


def shown(said: bytes) -> str:
    text = repr(said.decode(errors="replace"))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


_ASK: dict[Protocol, Callable[[_Dialogue], Awaitable[None]]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "ftp": _ftp,
    "postgres": _postgres,
    "ldap": _ldap,
}

"""How full the queues of listening sockets are: what `ss -lt` shows, asked of the kernel (sock_diag(7))."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_DONE, _ERROR = 3, 2  # NLMSG_DONE, NLMSG_ERROR
_LISTEN = 1 << 10
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST = struct.Struct("=BBBBI48s")  # inet_diag_req_v2
_ANSWER = struct.Struct("=4B48xIIIII")  # inet_diag_msg: …, expires, rqueue, wqueue, uid, inode
WAIT = 0.5  # seconds for an answer that comes at once


@dataclass(frozen=True, slots=True)
class Backlog:
    """Connections that wait to be accepted, and how many may; the kernel drops new ones once there is one more."""

    waiting: int
    limit: int


def listening() -> dict[int, Backlog]:
    """The queue of every listening TCP socket of the agent's own network namespace, by inode; empty where the kernel
    does not tell. Blocks for `WAIT` seconds at most for each part of its answer."""
    found: dict[int, Backlog] = {}
    for kind in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, struct.error):
            found.update(_ask(kind))
    return found


def _ask(kind: socket.AddressFamily) -> Iterator[tuple[int, Backlog]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
        kernel.settimeout(WAIT)
        body = _REQUEST.pack(kind, socket.IPPROTO_TCP, 0, 0, _LISTEN, b"")
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body)
        while True:
            data = kernel.recv(65_536)
            if not data:
                return
            while len(data) >= _HEADER.size:
                length, what, _, _, _ = _HEADER.unpack_from(data)
                if what in (_DONE, _ERROR) or length < _HEADER.size:
                    return
                _, _, _, _, _, waiting, limit, _, inode = _ANSWER.unpack_from(data, _HEADER.size)
                yield inode, Backlog(waiting, limit)
                data = data[(length + 3) & ~3 :]

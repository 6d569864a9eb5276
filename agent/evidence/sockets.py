"""The sockets of some processes: who listens where with how long a queue, and what became of the connections."""

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent.evidence.backlog import Backlog, listening
from agent.evidence.figures import size
from agent.evidence.proc import HOST, Host

MOST = 100_000  # lines of one table that are read
PEERS = 8
_STATES = (  # include/net/tcp_states.h
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
    "LISTEN", "CLOSING", "SYN_RECV",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """A line of /proc/net/tcp or tcp6. `unread` is in bytes, of a listening socket in connections not accepted."""

    local: str
    peer: str
    state: str
    unsent: int
    unread: int
    inode: int


def describe_sockets(owners: Mapping[int, int], host: Host = HOST) -> str:
    """Their sockets: listening ones with their queue, connections by state and by peer, unix sockets. `owners` says
    which process holds a socket, by inode; the tables are those of the network namespaces of these processes."""
    parts: dict[str, list[str]] = {}
    for pid in sorted(set(owners.values())):
        namespace = _namespace(pid, host)
        if namespace not in parts:
            parts[namespace] = _describe(pid, owners, host)
    return "\n".join(line for lines in parts.values() for line in lines)


def _namespace(pid: int, host: Host) -> str:
    try:
        return str((host.proc / str(pid) / "ns" / "net").readlink())
    except OSError:
        return ""


def _describe(pid: int, owners: Mapping[int, int], host: Host) -> list[str]:
    folder = host.proc / str(pid) / "net"
    ours, nobodys = [], []
    for socket in (*_tcp(folder / "tcp"), *_tcp(folder / "tcp6")):
        if socket.inode in owners:
            ours.append(socket)
        elif not socket.inode:
            nobodys.append(socket)
    backlogs = listening() if _namespace(pid, host) == _own_namespace() else {}
    listeners = [socket for socket in ours if socket.state == "LISTEN"]
    connections = [socket for socket in ours if socket.state != "LISTEN"]
    ports = {socket.local.rpartition(":")[2] for socket in listeners}
    waiting = [socket for socket in nobodys if socket.local.rpartition(":")[2] in ports]  # not accepted, or closed
    return [
        *(_listener(socket, owners, backlogs.get(socket.inode)) for socket in listeners),
        *_connections(connections, ports),
        *([f"of its ports, held by no process: {_by_state(waiting)}"] if waiting else []),
        *_unix(folder / "unix", owners),
    ]


def _own_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/net").readlink())
    except OSError:
        return "unknown"


def _listener(socket: TcpSocket, owners: Mapping[int, int], backlog: Backlog | None) -> str:
    head = f"LISTEN {socket.local} (pid {owners[socket.inode]}): "
    if backlog is None:
        return f"{head}{socket.unread} connections wait to be accepted"
    full = ": full, further connections are dropped" if backlog.waiting > backlog.limit else ""
    return f"{head}{backlog.waiting} connections wait to be accepted, backlog {backlog.limit}{full}"


def _connections(sockets: list[TcpSocket], ports: Collection[str]) -> list[str]:
    if not sockets:
        return []
    lines = [f"tcp: {_by_state(sockets)}"]
    unread = [socket.unread for socket in sockets if socket.unread]
    unsent = [socket.unsent for socket in sockets if socket.unsent]
    if unread:
        lines.append(f"  {len(unread)} with {size(sum(unread))} that the process has not read")
    if unsent:
        lines.append(f"  {len(unsent)} with {size(sum(unsent))} that the other side has not taken")
    peers = Counter(
        (socket.peer if _is_client(socket, ports) else f"clients of {socket.local}", socket.state) for socket in sockets
    )
    lines += [f"  {count} {state}: {peer}" for (peer, state), count in peers.most_common(PEERS)]
    return lines


def _is_client(socket: TcpSocket, ports: Collection[str]) -> bool:
    """Whether it asked for the connection; where nothing listens on its port (another process may) that is a guess:
    the side with the higher port did."""
    local = socket.local.rpartition(":")[2]
    return local not in ports and int(local) >= int(socket.peer.rpartition(":")[2])


def _by_state(sockets: list[TcpSocket]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(s.state for s in sockets).most_common())


def _tcp(path: Path) -> Iterator[TcpSocket]:
    for fields in _rows(path):
        try:
            unsent, unread = (int(figure, 16) for figure in fields[4].split(":"))
            yield TcpSocket(
                local=_address(fields[1]),
                peer=_address(fields[2]),
                state=_STATES[int(fields[3], 16)],
                unsent=unsent,
                unread=unread,
                inode=int(fields[9]),
            )
        except (ValueError, IndexError):
            continue


def _address(text: str) -> str:
    """`0100007F:1F90` is 127.0.0.1:8080: words of 32 bits, little-endian as the machine."""
    words, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    shown = mapped or address
    return f"{f'[{shown}]' if shown.version == 6 else shown}:{int(port, 16)}"


def _unix(path: Path, owners: Mapping[int, int]) -> list[str]:
    listeners, connected = [], 0
    for fields in _rows(path):
        try:
            inode, accepts = int(fields[6]), int(fields[3], 16) & 0x10000  # SO_ACCEPTCON
        except (ValueError, IndexError):
            continue
        if inode in owners:
            if accepts:
                listeners.append(f"LISTEN {fields[7] if len(fields) > 7 else 'unnamed'} (pid {owners[inode]})")
            else:
                connected += 1
    return [*listeners, *([f"unix: {connected} other sockets"] if connected else [])]


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in islice(lines, 1, MOST):
                yield line.split()
    except OSError:
        return

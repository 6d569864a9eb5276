"""How many checks may be in flight, in all and against one host."""

import asyncio
from collections import defaultdict, deque


class Limits:
    """Lets a check in at once or makes it wait its turn. Waiting is lateness, never the target's failure: no check's
    time runs before it is let in. Among waiting hosts turns go round, so that one slow host holds up only itself."""

    def __init__(self, total: int, per_host: int) -> None:
        self._total = total
        self._per_host = per_host
        self._inside = 0
        self._by_host: defaultdict[str, int] = defaultdict(int)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their turns

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def inside(self) -> int:
        return self._inside

    def resize(self, total: int, per_host: int) -> None:
        self._total, self._per_host = total, per_host
        self._admit()

    def try_enter(self, host: str) -> bool:
        """Come in if there is room; an empty host counts for the total only."""
        if self._inside >= self._total or (host and self._by_host[host] >= self._per_host):
            return False
        self._inside += 1
        if host:
            self._by_host[host] += 1
        return True

    async def enter(self, host: str) -> None:
        """Come in, waiting for room if need be. Cancelling the wait gives the turn up."""
        if self.try_enter(host):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(host)
            raise

    def leave(self, host: str) -> None:
        self._inside -= 1
        if host:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        for host in list(self._waiting):
            turns = self._waiting.pop(host)
            while turns and turns[0].done():
                turns.popleft()
            if turns and self.try_enter(host):
                turns.popleft().set_result(None)
            if turns:
                self._waiting[host] = turns  # to the end of the round
            if self._inside >= self._total:
                return

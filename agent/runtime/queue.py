"""What waits in one lane, and what of it is next: by urgency, and in the order of each incident's own story."""

import heapq
from dataclasses import dataclass, field
from itertools import count

from agent.core.commands import Notice, NoticeKind

URGENCY = {kind: number for number, kind in enumerate(NoticeKind)}
URGENT = frozenset({NoticeKind.OPENED, NoticeKind.REMINDER})
AFTER_PAGES = max(URGENCY[kind] for kind in URGENT) + 0.5
STALE = 1.0  # seconds an update must have waited before a newer one makes it needless


def urgency(notice: Notice) -> float:
    """Its place in the order, the first being 0. A drill's page comes after whatever really wakes people, and before
    all else."""
    place = float(URGENCY[notice.kind])
    if not notice.drill:
        return place
    return AFTER_PAGES if notice.kind is NoticeKind.OPENED else place + 0.5


@dataclass(slots=True, eq=False)
class Item:
    """A notice on its way. `due`, and `since` when it has waited, are on the loop's clock: wall clocks jump."""

    notice: Notice
    due: float
    since: float
    tries: int = 0
    order: int = field(default_factory=count().__next__)
    cancelled: bool = False

    def __lt__(self, other: "Item") -> bool:
        return (urgency(self.notice), self.order) < (urgency(other.notice), other.order)

    @property
    def urgent(self) -> bool:
        return self.notice.kind in URGENT and not self.notice.drill

    @property
    def story(self) -> tuple[str, str]:
        """Notices of one incident to one address are one story; what belongs to no incident stands alone."""
        return (self.notice.incident or self.notice.key, self.notice.channel)


@dataclass(slots=True)
class Story:
    """The notices of one incident to one address that have not come to their end. One of them is sent at a time."""

    waiting: list[Item] = field(default_factory=list)  # those that are due; a heap
    opening: set[str] = field(default_factory=set)  # keys of the pages that nothing of the story may overtake
    size: int = 0
    telling: bool = False
    newest: int = -1  # the last update that was put in
    closing: int = -1  # the closing message, once there is one


class Queue:
    """Every method takes time that does not grow with the length of the queue, but for a logarithm: a hundred thousand
    waiting updates must not hold up the page that comes after them."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._urgent: dict[str, Item] = {}
        self._stories: dict[tuple[str, str], Story] = {}
        self._heads: list[Item] = []  # the first of each story that may be told; some that were there before, too
        self._later: list[tuple[float, int, Item]] = []

    def __len__(self) -> int:
        return len(self._items)

    def urgent(self) -> list[Item]:
        """Pages and reminders that shall still be sent."""
        return [item for item in self._urgent.values() if not item.cancelled]

    def holds(self, item: Item) -> bool:
        return self._items.get(item.notice.key) is item

    def has(self, key: str) -> bool:
        return key in self._items

    # ------------------------------------------------------------------------------------------ in and out

    def put(self, item: Item, now: float) -> None:
        """Take a new notice in. Its key must be none that is here."""
        notice = item.notice
        self._items[notice.key] = item
        if item.urgent:
            self._urgent[notice.key] = item
        story = self._stories.setdefault(item.story, Story())
        story.size += 1
        if notice.kind is NoticeKind.OPENED:
            story.opening.add(notice.key)
        elif notice.kind is NoticeKind.UPDATE:
            story.newest = max(story.newest, item.order)
        elif notice.kind is NoticeKind.RESOLVED:
            story.closing = max(story.closing, item.order)
        self._enqueue(item, story, now)

    def cancel(self, key: str) -> None:
        """It shall not be sent: what waited for it waits no longer. It stays until it is taken and dropped."""
        item = self._items.get(key)
        if item is not None:
            item.cancelled = True
            story = self._stories[item.story]
            story.opening.discard(key)
            self._show(story)

    def put_back(self, item: Item, now: float) -> None:
        """One that was taken shall be tried again when it is due."""
        story = self._stories[item.story]
        story.telling = False
        self._enqueue(item, story, now)
        self._show(story)

    def drop(self, item: Item) -> None:
        """One that was taken has come to its end."""
        if not self.holds(item):
            return
        del self._items[item.notice.key]
        self._urgent.pop(item.notice.key, None)
        story = self._stories[item.story]
        story.telling = False
        story.opening.discard(item.notice.key)
        story.size -= 1
        if story.size == 0:
            del self._stories[item.story]
        else:
            self._show(story)

    # ------------------------------------------------------------------------------------------ what is next

    def head(self, now: float) -> Item | None:
        """The most urgent of those that are due and may be sent now; it stays where it is."""
        while self._later and self._later[0][0] <= now:
            item = heapq.heappop(self._later)[2]
            if self.holds(item):
                self._enqueue(item, self._stories[item.story], now)
        while self._heads:
            if self._may_go(self._heads[0]):
                return self._heads[0]
            heapq.heappop(self._heads)
        return None

    def take(self) -> Item:
        """Take what `head` has just shown. `drop` or `put_back` has to follow."""
        item = heapq.heappop(self._heads)
        story = self._stories[item.story]
        heapq.heappop(story.waiting)
        story.telling = True
        return item

    def next_due(self) -> float | None:
        """When the next of those that wait for their time is due."""
        return self._later[0][0] if self._later else None

    def overtaken(self, item: Item, now: float) -> bool:
        """Whether this update need not be sent: the incident is over, or a newer one has come while it had to wait."""
        if item.notice.kind is not NoticeKind.UPDATE:
            return False
        story = self._stories[item.story]
        return item.order < story.closing or (item.order < story.newest and now - item.since > STALE)

    def _may_go(self, item: Item) -> bool:
        """Whether it is the first of its story, nothing of which is on its way, and no page has to go before it."""
        story = self._stories.get(item.story)
        if story is None or story.telling or not story.waiting or story.waiting[0] is not item:
            return False
        return item.cancelled or not story.opening or item.notice.key in story.opening

    def _enqueue(self, item: Item, story: Story, now: float) -> None:
        if item.due > now:
            heapq.heappush(self._later, (item.due, item.order, item))
            return
        heapq.heappush(story.waiting, item)
        if story.waiting[0] is item:
            self._show(story)

    def _show(self, story: Story) -> None:
        """Its first is up for sending, unless one of it is on its way; `head` looks whether it may go."""
        if story.waiting and not story.telling:
            heapq.heappush(self._heads, story.waiting[0])

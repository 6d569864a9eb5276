"""What people say, and who of them is asked: silences, windows, who is on call, presses and commands."""

from collections.abc import Awaitable, Callable

from agent.config.model import Config
from agent.core.events import Noted
from agent.deciding import Deciding
from agent.foundation import Foundation
from agent.listening import Listeners
from agent.oncall.duty import Duty
from agent.operator import Operator
from agent.ports import Desk
from agent.quiet.book import Book, Subject
from agent.quiet.desk import Desk as QuietDesk


class People:
    """`operator` is where they act on incidents, `desk` where they silence, `listeners` how channels hear them.
    `seen` is told who has seen a drill, and answers in one sentence."""

    def __init__(self, on: Foundation, deciding: Deciding, seen: Callable[[str, str], Awaitable[str]]) -> None:
        clock, store, metrics, engine = on.clock, on.store, on.metrics, deciding.engine
        self.duty = Duty(clock.now, store, on.vitals)
        self.silences = Book(store=store, now=clock.now, services=self._subjects, changed=engine.review)
        self.desk = QuietDesk(self.silences, engine.tell)
        metrics.state.silences, metrics.state.quiet = self.silences.counts, self.silences.quiet_counts
        self.operator = Operator(
            table=on.rows,
            policy=deciding.policy,
            tell=engine.tell,
            now=clock.now,
            silences=self.desk,
            on_call=lambda: self.duty.book.in_words(),
            seen=seen,
        )
        self.listeners = Listeners(
            on.vitals,
            Desk(
                operations=self.operator,
                note=self._note,
                contacts=lambda: engine.contexts.contacts,
                count=metrics.count_answer,
            ),
        )
        self._engine = engine
        self._clock = clock
        self.use(on.config)

    def use(self, config: Config) -> None:
        """Put people, schedules and windows in force; what was made by hand stays."""
        self.silences.configure(config.maintenance)
        self.duty.configure(config.people, config.schedules, config.calendars)
        contexts = self._engine.contexts
        contexts.reach, contexts.contacts = self.duty.book.reach, self.duty.book.contacts

    def _note(self, about: str, text: str, by: str) -> None:
        if about in self._engine.table:
            self._engine.tell(about, Noted(at=self._clock.now(), text=text, by=by))
        else:
            self.desk.note(about, text, by)

    def _subjects(self) -> list[Subject]:
        """All services that may be silenced, with their open incidents."""
        table = self._engine.table
        found = ((one.policy, one.row.state.incident) for one in table.values() if one.policy.drill is None)
        return [Subject(policy, incident.id if incident else "") for policy, incident in found]

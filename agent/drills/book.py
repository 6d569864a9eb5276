"""Where drills are held: by hand and by the schedule, what became of them, and the page when one fails."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from agent.config.model import Config
from agent.config.nearest import did_you_mean
from agent.core.drills import KIND, is_drill
from agent.core.events import Event, Input, Noted
from agent.core.policy import Drill, Policy
from agent.drills import notes
from agent.drills.course import Course, Ground
from agent.drills.plan import CHANNELS, called, drilled, other_way, wanted
from agent.drills.remedies import in_lines
from agent.drills.timetable import first_due, is_due
from agent.operations import NoSuchService, Refused
from agent.ports import DrillOutcome, DrillReport, Stored, StoreUnavailable, Vitals
from agent.runtime.signals import Signals

log = structlog.get_logger()

PAGING = "paging"  # "paging:OF" is the incident of a drill that failed
BY_SCHEDULE = "the schedule"


class Counts(Protocol):
    def drill(self, outcome: str) -> None: ...


class Drills:
    """`ports.DrillBook` on a running agent. `real` are the signals that everybody sees: there a failed drill is paged,
    as an incident that lasts until a drill of the same passes. A drill itself is in none of the tables that are
    counted, shown, stormed or gathered: only the engine knows it."""

    def __init__(self, ground: Ground, real: Signals, vitals: Vitals, config: Config, counts: Counts) -> None:
        self._ground = ground
        self._real = real
        self._vitals = vitals
        self._config = config
        self._counts = counts
        self._running: dict[str, Course] = {}  # by the name of its service
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = notes.Kept()
        self._due: datetime | None = None
        ground.signals.own(KIND, _cut_off)
        real.own(PAGING, self._paging)

    # ------------------------------------------------------------------------------------------ what people do

    def hold(self, of: str, by: str) -> str:
        of = of or CHANNELS
        policy = wanted(self._config, of)
        if policy is None:
            raise NoSuchService(f"there is no service {of!r}{did_you_mean(of, self._config.services)}")
        if not policy.pages:
            what = f"{of} pages nobody" if of != CHANNELS else "no service pages any channel"
            raise Refused(f"{what}: there is nothing to drill; give it `page:` or an escalation policy")
        if (running := self._running.get(f"{KIND}:{of}")) is not None:
            raise Refused(f"a drill for {called(of)} is being held: {running.id}")
        now, spec = self._ground.clock.now(), self._config.drill
        policy = drilled(
            self._config, of, policy, lambda escalation: self._ground.engine.contexts.reach(escalation, now)
        )
        course = Course(self._ground, of, by, policy, spec.within, spec.seen)
        self._running[course.name] = course
        task = asyncio.get_running_loop().create_task(self._hold(course), name=course.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return course.id

    async def seen(self, drill: str, by: str) -> str:
        waiting = [course for course in self._running.values() if course.waits and (not drill or drill in course.names)]
        if len(waiting) > 1:
            names = ", ".join(sorted(course.of for course in waiting))
            raise Refused(f"several drills wait to be seen, say which: {names}")
        if not waiting:
            which = f"drill {drill!r}" if drill else "drill"
            raise Refused(f"no {which} waits to be seen: it is over, was confirmed, or `drill.seen` asks nobody to")
        seconds = waiting[0].seen(by)
        now = self._ground.clock.now()
        self._ground.engine.tell(waiting[0].name, Noted(at=now, text=f"{by} has seen the drill", by=by))
        return f"{by} has seen the drill for {called(waiting[0].of)} after {seconds:.1f} s."

    def report(self, drill: str) -> DrillReport | None:
        return next((report for report in self.reports() if report.id == drill), None)

    def reports(self) -> tuple[DrillReport, ...]:
        running = [course.report() for course in self._running.values()]
        ended = sorted((*self._kept.ended.values(), *self._kept.cut_off.values()), key=lambda one: one.at, reverse=True)
        return (*running, *ended)

    # ------------------------------------------------------------------------------------------ what the agent does

    def on_event(self, event: Event) -> None:
        """Something was decided about a service."""
        if is_drill(event.service) and (course := self._running.get(event.service)) is not None:
            course.told()

    def heard(self, service: str, event: Input) -> None:
        """Something became of a message."""
        if (course := self._running.get(service)) is not None:
            course.heard(event)

    async def load(self) -> None:
        """What the store knows, beside what is known already: at the start, and when it can be read again."""
        try:
            text = await self._ground.store.get_note(notes.NOTE)
            found = notes.read(text) if text else notes.Kept()
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="drills", error=str(error))
            return
        except (ValueError, KeyError, TypeError) as error:
            log.error("drills_unreadable", error=f"{type(error).__name__}: {error}")
            return
        running = {course.of for course in self._running.values()}
        cut_off = {of: report for of, report in found.cut_off.items() if of not in running}
        self._kept.ended = found.ended | self._kept.ended
        self._kept.cut_off = cut_off | self._kept.cut_off
        self._kept.scheduled_at = self._kept.scheduled_at or found.scheduled_at
        self.configure(self._config)

    def restore(self, stored: Mapping[str, Stored]) -> None:
        """Boot: what a life before was drilling is watched again, so that it can be closed."""
        self._ground.signals.restore(stored)

    async def finish(self) -> None:
        """Close what a life before has left open, saying so, and forget it. Call it when messages can be sent."""
        for name in self._ground.signals.names(KIND):
            if name in self._running:
                continue
            log.warning("drill_not_finished", drill=name, why=notes.CUT_OFF)
            self._counts.drill(DrillOutcome.UNFINISHED.value)
            result = f"Not finished: {notes.CUT_OFF}. Whatever was not reached by then was not looked at."
            self._ground.signals.clear(name, "not finished", {"Result": result})
            await self._ground.signals.forget(name)

    def configure(self, config: Config) -> None:
        """This configuration holds from now on; drills that are being held go on as they began."""
        changed = config.drill != self._config.drill or self._due is None
        self._config = config
        self._shown()
        if changed:
            self._due = first_due(config.drill, self._kept.scheduled_at, self._ground.clock.now())

    async def tick(self) -> None:
        """Every second: hold what is due, and forget pages about what the configuration no longer names."""
        for name in self._real.names(PAGING):
            if wanted(self._config, name.partition(":")[2]) is None:
                await self._real.forget(name)
        now, spec = self._ground.clock.now(), self._config.drill
        if spec.every is not None and self._kept.scheduled_at is None:
            self._kept.scheduled_at = now  # counted from here on, however often the agent is restarted
            await self._save()
        if self._due is None or now < self._due:
            return
        due, self._kept.scheduled_at = self._due, now
        self._due = first_due(spec, now, now)
        if is_due(spec, due, now):
            task = asyncio.get_running_loop().create_task(self._one_after_the_other(), name="scheduled drills")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            log.warning("drill_missed", due=due.isoformat())
        await self._save()

    async def stop(self) -> None:
        """What is being held is left as it is: the next life closes it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ how

    async def _one_after_the_other(self) -> None:
        for of in self._config.drill.services or (CHANNELS,):
            try:
                self.hold(of, BY_SCHEDULE)
            except Refused as refused:
                log.error("drill_refused", of=of, why=str(refused))
                continue
            while f"{KIND}:{of}" in self._running:  # noqa: ASYNC110 - a drill takes a minute
                await asyncio.sleep(0.5)

    async def _hold(self, course: Course) -> None:
        log.info("drill_begins", drill=course.id)
        await self._save()
        try:
            report = await course.run()
        except Exception as error:
            log.exception("drill_crashed", drill=course.id)
            text = f"the fire drill for {called(course.of)} failed: {type(error).__name__}: {error}"
            remedy = "See the agent's log: this is a fault of codeblue itself."
            report = replace(course.report(), outcome=DrillOutcome.FAILED, why=text, remedy=remedy)
        finally:
            del self._running[course.name]
        self._kept.ended[course.of] = report
        self._kept.cut_off.pop(course.of, None)
        self._shown()
        self._counts.drill(report.outcome.value)
        say = log.info if report.outcome is DrillOutcome.PASSED else log.error
        say(
            "drill_ended",
            drill=report.id,
            outcome=report.outcome.value,
            seconds=round(report.seconds, 3),
            why=report.why,
        )
        await self._page(report)
        await self._save()

    async def _page(self, report: DrillReport) -> None:
        """A drill that failed is an incident, by another way than the one that failed; one that passes ends it."""
        name = f"{PAGING}:{report.of}"
        known = self._ground.engine.table.get(name)
        if report.outcome is DrillOutcome.PASSED:
            if known is not None:
                self._real.clear(name, f"a drill has passed in {report.seconds:.1f} s")
                await self._real.forget(name)
            return
        evidence = {"What to do": report.remedy, "Legs of the drill": in_lines(report.legs)}
        self._real.ensure(name, self._paging(name))
        if known is not None and known.row.state.incident is not None:
            now = self._ground.clock.now()
            self._ground.engine.tell(name, Noted(at=now, text=report.why, tell=True, loud=True, evidence=evidence))
        self._real.fail(name, f"{report.why}. {report.remedy}", evidence)

    def _paging(self, name: str) -> Policy:
        """How the failure of that drill is paged."""
        of = name.partition(":")[2]
        policy, report = wanted(self._config, of), self._kept.ended.get(of)
        return other_way(self._config, policy, report.failed if report else ()) if policy else Policy(service=name)

    def _shown(self) -> None:
        """What metrics, readiness and the ping look at: of nothing that the configuration does not name any more."""
        named = {of: one for of, one in self._kept.ended.items() if wanted(self._config, of) is not None}
        self._vitals.drills = named

    async def _save(self) -> None:
        try:
            running = [course.report() for course in self._running.values()]
            await self._ground.store.set_note(notes.NOTE, notes.write(self._kept, running))
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="drills", error=str(error))


def _cut_off(name: str) -> Policy:
    """How a drill of a life before is closed."""
    return Policy(service=name, drill=Drill(of=called(name.partition(":")[2])))

"""Restarts with dependencies in order, on a virtual clock: app -> db -> disk."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import partial

from agent.actions.dependencies import DEPENDENCIES, DependenciesOptions, DependenciesRestart
from agent.assembly import Ladder
from agent.core.commands import NoticeKind, Outcome, Restart
from agent.core.policy import CheckPolicy, Policy, RestartPolicy, Step
from tests.actions.orders import NoChildren
from tests.virtual_time import in_virtual_time
from tests.world import FakeRemediator, World

WINDOW = timedelta(seconds=20)
RESTART = RestartPolicy(action="systemd", at_most=3, backoff=timedelta(0), verify=WINDOW, jitter=0)
LADDER = replace(RESTART, steps=(Step(action="systemd", verify=WINDOW), Step(action=DEPENDENCIES.name, verify=WINDOW)))


def service(name: str, restart: RestartPolicy | None, *parents: str) -> Policy:
    return Policy(
        service=name,
        checks={"http": CheckPolicy()},
        restart=restart,
        depends_on=parents,
        page=("oncall",),
        notify=("q",),
    )


class Stack:
    """A world of three; what is done to them is written down with its second."""

    def __init__(self, **changed: RestartPolicy | None) -> None:
        rules = {"disk": RESTART, "db": RESTART, "app": LADDER, **changed}
        self.world = World(
            service("app", rules["app"], "db"), service("db", rules["db"], "disk"), service("disk", rules["disk"])
        )
        self.done: list[str] = []
        for name in ("disk", "db", "app"):
            self.world.remediators[name] = FakeRemediator(effect=partial(self._note, name))
        self.step = DependenciesRestart(DependenciesOptions(), NoChildren())
        self.plain = self.world.remediators["app"]
        self.world.remediators["app"] = Ladder([self.plain, self.step])  # type: ignore[assignment]

    def _note(self, name: str, order: Restart) -> None:
        self.done.append(name)
        if name == "app" and "db" in self.done:  # it has lost its connections: only this helps
            self.world.down.discard("app")

    async def boot(self) -> None:
        await self.world.boot()
        self.step.use(self.world.reach, self.plain)

    def tried(self) -> str:
        notes = [n for n in self.world.channels["q"].sent if n.kind is NoticeKind.NOTE]
        return notes[-1].facts["Tried"] if notes else ""


def night(story: Callable[[], Coroutine[None, None, None]]) -> None:
    in_virtual_time(story())


def test_what_it_depends_on_is_restarted_topmost_first_and_then_the_service_and_nobody_is_woken() -> None:
    async def story() -> None:
        stack = Stack()
        await stack.boot()
        await stack.world.live(15)
        stack.world.down.add("app")
        await stack.world.live(120)
        assert stack.done == ["app", "disk", "db", "app"]  # its own restart did not help
        assert stack.world.state("app").incident is None
        assert stack.world.channels["oncall"].sent == []
        assert "restart by dependencies: done" in stack.tried()
        for name in ("disk", "db"):
            assert len(stack.world.state(name).restarts) == 1
        await stack.world.die()

    night(story)


def test_the_next_one_waits_until_the_one_above_passes_its_checks() -> None:
    async def story() -> None:
        stack = Stack()
        clock = stack.world
        moments: dict[str, float] = {}

        def note(name: str, order: Restart) -> None:
            stack.done.append(name)
            moments[name] = clock.clock.now().timestamp()
            if name == "disk":  # it needs eight seconds to be up again
                clock.down.add("disk")
                asyncio.get_running_loop().call_later(8, clock.down.discard, "disk")

        for name in ("disk", "db"):
            clock.remediators[name].effect = partial(note, name)
        await stack.boot()
        await clock.live(15)
        clock.down.add("app")
        await clock.live(100)
        assert stack.done[:3] == ["app", "disk", "db"]
        assert moments["db"] - moments["disk"] >= 8
        assert len(clock.remediators["disk"].orders) == 1  # its failing meanwhile was no second incident's restart
        await clock.die()

    night(story)


def test_one_that_is_not_well_in_time_ends_it_and_people_are_asked() -> None:
    async def story() -> None:
        stack = Stack()
        stack.world.remediators["disk"].effect = lambda _: stack.world.down.add("disk")
        await stack.boot()
        await stack.world.live(15)
        stack.world.down.add("app")
        await stack.world.live(60)
        assert "db" not in stack.done
        tried = stack.world.state("app").incident
        assert tried is not None
        assert tried.tried[-1].outcome is Outcome.FAILED
        assert "disk, which it depends on: restarted, but not well within 20 s: http" in tried.tried[-1].detail
        await stack.world.die()

    night(story)


def test_one_whose_budget_is_used_up_ends_it_with_the_reason() -> None:
    async def story() -> None:
        stack = Stack(db=replace(RESTART, at_most=0))
        await stack.boot()
        await stack.world.live(15)
        stack.world.down.add("app")
        await stack.world.live(60)
        assert stack.done == ["app", "disk"]
        page = stack.world.channels["oncall"].sent[0]
        assert "not restarted along with app: restart budget used up: 0 of 0" in page.facts["Tried"]
        await stack.world.die()

    night(story)


def test_what_has_no_restart_of_its_own_is_passed_over() -> None:
    async def story() -> None:
        stack = Stack(disk=None)
        del stack.world.remediators["disk"]
        await stack.boot()
        await stack.world.live(15)
        stack.world.down.add("app")
        await stack.world.live(120)
        assert stack.done == ["app", "db", "app"]
        await stack.world.die()

    night(story)


def test_an_agent_that_is_killed_in_the_middle_restarts_none_of_them_twice() -> None:
    async def story() -> None:
        stack = Stack()
        stack.world.remediators["disk"].takes = 5
        await stack.boot()
        await stack.world.live(15)
        stack.world.down.add("app")
        await stack.world.live(30)  # 00:42 its own restart was in vain; disk is being restarted
        assert len(stack.world.remediators["disk"].orders) == 1
        assert "disk" not in stack.done
        await stack.world.die()
        await stack.boot()
        await stack.world.live(90)
        assert len(stack.world.remediators["disk"].orders) == 1
        assert stack.world.remediators["db"].orders == []
        await stack.world.die()

    night(story)


def test_four_that_fail_at_once_do_not_wait_for_each_other_for_ever() -> None:
    async def story() -> None:
        parents = service("db", replace(RESTART, at_most=9))
        apps = [service(f"app-{number}", LADDER, "db") for number in range(5)]
        world = World(parents, *apps)
        steps = {}
        for app in apps:
            plain = world.remediators[app.service]
            steps[app.service] = (DependenciesRestart(DependenciesOptions(), NoChildren()), plain)
            world.remediators[app.service] = Ladder([plain, steps[app.service][0]])  # type: ignore[assignment]
        world.remediators["db"].effect = lambda _: world.down.clear()
        await world.boot()
        for step, plain in steps.values():
            step.use(world.reach, plain)
        await world.live(15)
        world.down |= {app.service for app in apps}
        await world.live(180)
        assert len(world.remediators["db"].orders) == 1  # for the first; the others find it just started
        assert not any(world.state(app.service).incident for app in apps)
        await world.die()

    night(story)

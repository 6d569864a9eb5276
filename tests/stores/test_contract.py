"""What every store promises; the promises are the docstrings of `agent.ports.Store`."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome
from agent.core.result import Verdict
from agent.core.state import ServiceState
from agent.ports import ActionOutcome, Beat, BeatState, Receipt, Run, VersionConflict
from tests.stores.makers import T0, AnyStore, at, decided, down, event, healthy, notice, restart, told


def keys(items: object) -> list[str]:
    return [item.command.key for item in items]  # type: ignore[attr-defined]


async def test_a_new_store_knows_nothing(store: AnyStore) -> None:
    assert await store.load() == {}
    assert list(await store.pending()) == []
    assert list(await store.interrupted()) == []
    assert list(await store.history(None, since=T0)) == []
    assert await store.get_note("alive") is None


async def test_a_committed_state_is_loaded_with_its_version(store: AnyStore) -> None:
    state = down()
    assert await store.commit("photos", 0, decided(state)) == 1
    assert await store.commit("photos", 1, decided(healthy())) == 2
    found = await store.load()
    assert (found["photos"].version, found["photos"].state) == (2, healthy())


@pytest.mark.parametrize("seen", [0, 2, 7], ids=["as if it were new", "ahead of it", "far ahead"])
async def test_a_commit_on_another_version_is_a_conflict_and_changes_nothing(store: AnyStore, seen: int) -> None:
    await store.commit("photos", 0, decided(healthy(), notice("n1")))
    late = replace(decided(down(), restart("r1"), cancelled=("n1",)), events=(event("late"),))
    with pytest.raises(VersionConflict, match="photos"):
        await store.commit("photos", seen, late)
    assert (await store.load())["photos"].state == healthy()
    assert keys(await store.pending()) == ["n1"]
    assert list(await store.history(None, since=T0)) == []


async def test_of_two_commits_on_the_same_version_one_wins(store: AnyStore) -> None:
    both = [store.commit("photos", 0, decided(healthy(), notice(key))) for key in ("n1", "n2")]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], VersionConflict)
    assert keys(await store.pending()) == ["n1"]


async def test_a_conflict_among_many_commits_fails_nobody_else(store: AnyStore) -> None:
    await store.commit("s3", 0, decided(healthy("s3")))
    many = [store.commit(f"s{i}", 0, decided(healthy(f"s{i}"), notice(f"n{i}", f"s{i}"))) for i in range(20)]
    results = await asyncio.gather(*many, return_exceptions=True)
    assert [i for i, result in enumerate(results) if result != 1] == [3]
    assert sorted(keys(await store.pending())) == sorted(f"n{i}" for i in range(20) if i != 3)


async def test_a_forgotten_service_begins_again_and_leaves_its_commands_and_timeline(store: AnyStore) -> None:
    await store.commit("photos", 0, replace(decided(down(), notice("n1")), events=(event("down"),)))
    await store.forget("photos")
    assert await store.load() == {}
    assert keys(await store.pending()) == ["n1"]
    assert [row.text for row in await store.history("photos", since=T0)] == ["down"]
    with pytest.raises(VersionConflict):
        await store.commit("photos", 1, decided())
    assert await store.commit("photos", 0, told(event("back", seconds=60))) == 1
    assert [row.text for row in await store.history("photos", since=T0)] == ["down", "back"]


# ---------------------------------------------------------------------------------------------------- commands


async def test_commands_are_pending_due_at_once_in_the_order_of_the_decisions(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), restart("r1", seconds=5), notice("n1", seconds=5)))
    await store.commit("db", 0, decided(down("db"), notice("n2", "db", seconds=6)))
    found = list(await store.pending())
    assert keys(found) == ["r1", "n1", "n2"]
    assert [(item.status, item.tries, item.due_at) for item in found[:2]] == [("pending", 0, at(5))] * 2
    assert found[1].command == notice("n1", seconds=5)


@pytest.mark.parametrize("end", ["pending", "claimed", "done", "dead", "cancelled"])
async def test_a_key_is_added_once_whatever_became_of_it(store: AnyStore, end: str) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1")))
    if end in ("claimed", "done", "dead"):
        await store.claim(["n1"], at(1))
    if end == "done":
        await store.settle("n1", at(2), receipt=Receipt(data={"ts": "1"}))
    if end == "dead":
        await store.bury("n1", at(2), "auth")
    if end == "cancelled":
        await store.commit("photos", 1, decided(down(), cancelled=("n1",)))
    before = await store.outgoing(["n1"])
    version = (await store.load())["photos"].version
    await store.commit("photos", version, decided(down(), notice("n1", seconds=99)))
    assert await store.outgoing(["n1"]) == before
    assert before["n1"].status == end


async def test_a_claim_is_given_once(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), restart("r1"), notice("n1")))
    assert await store.claim(["r1", "n1", "unknown"], at(1)) == {"r1", "n1"}
    assert await store.claim(["r1", "n1"], at(2)) == frozenset()


async def test_claims_that_race_share_the_commands_out(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), *(restart(f"r{i}") for i in range(10))))
    everything = [f"r{i}" for i in range(10)]
    taken = await asyncio.gather(*(store.claim(everything, at(1)) for _ in range(5)))
    assert sorted(key for keys in taken for key in keys) == everything


@pytest.mark.parametrize("end", ["claimed", "done", "dead"])
async def test_cancelling_hits_only_what_is_pending(store: AnyStore, end: str) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1"), notice("n2")))
    await store.claim(["n1"], at(1))
    if end == "done":
        await store.settle("n1", at(2))
    if end == "dead":
        await store.bury("n1", at(2), "auth")
    await store.commit("photos", 1, decided(healthy(), cancelled=("n1", "n2", "unknown")))
    found = await store.outgoing(["n1", "n2"])
    assert (found["n1"].status, found["n2"].status) == (end, "cancelled")


async def test_a_claimed_restart_is_interrupted_until_settled_and_never_pending_again(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), restart("r1"), restart("r2")))
    await store.claim(["r1"], at(1))
    assert await store.interrupted() == [restart("r1")]
    assert keys(await store.pending()) == ["r2"]
    assert not await store.reclaim("r1", at(2))
    await store.postpone("r1", at(9), "no")
    assert keys(await store.pending()) == ["r2"]
    await store.settle("r1", at(3), outcome=ActionOutcome(outcome=Outcome.INTERRUPTED, detail="the agent died"))
    assert list(await store.interrupted()) == []
    settled = (await store.outgoing(["r1"]))["r1"]
    assert settled.status == "done"
    assert settled.outcome == ActionOutcome(outcome=Outcome.INTERRUPTED, detail="the agent died")


async def test_a_claimed_notice_goes_again_until_settled(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1")))
    assert not await store.reclaim("n1", at(1))
    await store.claim(["n1"], at(1))
    assert [(item.command.key, item.status) for item in await store.pending()] == [("n1", "claimed")]
    assert await store.reclaim("n1", at(2))
    await store.settle("n1", at(3), receipt=Receipt(data={"ts": "1"}))
    assert list(await store.pending()) == []
    assert not await store.reclaim("n1", at(4))


async def test_settled_is_settled(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1")))
    await store.claim(["n1"], at(1))
    await store.settle("n1", at(2), receipt=Receipt(data={"ts": "1"}))
    before = await store.outgoing(["n1"])
    await store.settle("n1", at(3), receipt=Receipt(data={"ts": "2"}))
    await store.postpone("n1", at(4), "late")
    await store.bury("n1", at(5), "late")
    await store.retract("n1", at(6))
    assert await store.outgoing(["n1"]) == before
    assert before["n1"].receipt == Receipt(data={"ts": "1"})


async def test_a_postponed_notice_is_pending_with_its_error_and_one_more_try(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1")))
    for attempt in (1, 2):
        assert await store.claim(["n1"], at(attempt)) == {"n1"}
        await store.postpone("n1", at(attempt * 10), f"server: {attempt}")
        found = (await store.outgoing(["n1"]))["n1"]
        assert (found.status, found.tries, found.due_at) == ("pending", attempt, at(attempt * 10))
        assert found.error == f"server: {attempt}"


async def test_a_dead_letter_is_listed_and_can_be_replayed_from_zero(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1"), notice("n2"), restart("r1")))
    await store.claim(["n1"], at(1))
    await store.bury("n1", at(2), "auth: invalid_auth")
    dead = list(await store.dead_letters())
    assert [(item.command.key, item.status, item.error) for item in dead] == [("n1", "dead", "auth: invalid_auth")]
    assert dead[0].tries == 1
    assert await store.replay(["n1", "n2", "unknown"], at(60)) == 1
    again = (await store.outgoing(["n1"]))["n1"]
    assert (again.status, again.tries, again.due_at) == ("pending", 0, at(60))
    assert list(await store.dead_letters()) == []
    assert await store.claim(["n1"], at(61)) == {"n1"}


async def test_a_buried_restart_is_not_replayed(store: AnyStore) -> None:
    await store.commit("photos", 0, decided(down(), restart("r1")))
    await store.claim(["r1"], at(1))
    await store.bury("r1", at(2), "gone")
    assert await store.replay(["r1"], at(3)) == 0
    assert await store.claim(["r1"], at(4)) == frozenset()


@pytest.mark.parametrize("claimed", [False, True], ids=["pending", "claimed by us"])
async def test_a_retracted_notice_is_cancelled(store: AnyStore, claimed: bool) -> None:
    await store.commit("photos", 0, decided(down(), notice("n1"), restart("r1")))
    if claimed:
        await store.claim(["n1"], at(1))
    await store.retract("n1", at(2))
    await store.retract("r1", at(2))
    assert {key: item.status for key, item in (await store.outgoing(["n1", "r1"])).items()} == {
        "n1": "cancelled",
        "r1": "pending",
    }


async def test_the_opening_receipt_is_that_of_the_delivered_opening_on_that_channel(store: AnyStore) -> None:
    await store.commit(
        "photos",
        0,
        decided(
            down(),
            notice("n1"),
            notice("n2", channel="ops"),
            notice("n3", kind=NoticeKind.REMINDER),
            notice("n4", incident="i2"),
        ),
    )
    assert await store.opening("i1", "oncall") is None
    await store.claim(["n1", "n2", "n3", "n4"], at(1))
    await store.settle("n3", at(2), receipt=Receipt(data={"ts": "reminder"}))
    assert await store.opening("i1", "oncall") is None
    await store.settle("n1", at(2), receipt=Receipt(data={"ts": "opening"}))
    await store.settle("n4", at(2), receipt=Receipt(data={"ts": "other incident"}))
    await store.bury("n2", at(2), "auth")
    assert await store.opening("i1", "oncall") == Receipt(data={"ts": "opening"})
    assert await store.opening("i1", "ops") is None


# ---------------------------------------------------------------------------------------------------- records


async def test_history_is_the_newest_rows_oldest_first(store: AnyStore) -> None:
    rows = [event(f"e{i}", seconds=i) for i in range(5)]
    await store.commit("photos", 0, told(*rows))
    await store.commit("db", 0, told(event("other", "db", seconds=2.5), state=healthy("db")))
    assert [row.text for row in await store.history("photos", since=at(1))] == ["e1", "e2", "e3", "e4"]
    assert [row.text for row in await store.history(None, since=at(2))] == ["e2", "other", "e3", "e4"]
    assert [row.text for row in await store.history(None, since=T0, limit=2)] == ["e3", "e4"]
    assert (await store.history("photos", since=at(4)))[0] == rows[4]


async def test_beats_are_kept_as_they_were_when_saved(store: AnyStore) -> None:
    beat = Beat(at=at(1), kind="success", exit_code=0, body="done in \ud800 3 s", run_id="a")
    state = BeatState(first_at=T0, success=beat, last=beat, took=timedelta(seconds=1.5), total=1)
    await store.save_beats({("photos", "worker"): state, ("db", "backup"): BeatState(first_at=T0)})
    await store.save_beats({})
    await store.save_beats({("photos", "worker"): replace(state, total=2)})
    found = await store.load_beats()
    assert set(found) == {("photos", "worker"), ("db", "backup")}
    assert found["photos", "worker"].total == 2
    assert found["photos", "worker"].took == timedelta(seconds=1.5)


async def test_runs_grow_and_are_found_by_their_end(store: AnyStore) -> None:
    first = Run(
        service="photos", check="http", verdict=Verdict.PASS, reason="ok", first_at=at(0), last_at=at(50), count=6
    )
    second = replace(first, verdict=Verdict.FAIL, reason="refused", first_at=at(60), last_at=at(70), count=2)
    other = replace(first, check="port", first_at=at(5), last_at=at(65))
    await store.save_runs([first, second, other])
    await store.save_runs([])
    await store.save_runs([replace(second, last_at=at(80), count=3), first])
    assert await store.runs("photos", "http", since=T0) == [first, replace(second, last_at=at(80), count=3)]
    assert await store.runs("photos", "http", since=at(55)) == [replace(second, last_at=at(80), count=3)]
    assert await store.runs("photos", None, since=at(55), limit=1) == [replace(second, last_at=at(80), count=3)]
    assert list(await store.runs("db", None, since=T0)) == []


async def test_a_note_is_replaced(store: AnyStore) -> None:
    await store.set_note("alive", "one")
    await store.set_note("alive", "two")
    assert await store.get_note("alive") == "two"


async def test_a_purge_takes_what_is_old_and_settled_but_nothing_of_an_open_incident(store: AnyStore) -> None:
    run = Run(service="photos", check="http", verdict=Verdict.PASS, reason="ok", first_at=at(0), last_at=at(1), count=2)
    await store.save_runs([run, replace(run, service="db")])
    rows = (event("of the open one", incident="i1"), event("of none"))
    await store.commit("photos", 0, replace(decided(down(), notice("n1"), notice("n2")), events=rows))
    await store.commit("db", 0, decided(healthy("db"), notice("o1", "db", "i0"), notice("o2", "db", "i0")))
    await store.claim(["n1", "o1"], at(1))
    await store.settle("n1", at(2))
    await store.settle("o1", at(2))
    assert await purge_all(store, 2) == 2 + 0  # the row of no incident, the run of db
    assert await purge_all(store, 3600) == 1
    assert set(await store.outgoing(["n1", "n2", "o1", "o2"])) == {"n1", "n2", "o2"}
    assert [row.text for row in await store.history(None, since=T0)] == ["of the open one"]
    assert await store.runs("photos", None, since=T0) == [run]
    await store.commit("photos", 1, decided(healthy()))
    assert await purge_all(store, 3600) == 3
    assert keys(await store.pending()) == ["n2", "o2"]


async def purge_all(store: AnyStore, seconds: float) -> int:
    total = 0
    while some := await store.purge(at(seconds)):
        total += some
    return total


async def test_a_text_that_is_no_text_is_stored_all_the_same(store: AnyStore) -> None:
    odd = "caf\udce9 \0 \U0001f4a5"
    state = ServiceState(service="photos")
    await store.commit("photos", 0, replace(decided(state, notice("n1")), events=(event(odd),)))
    await store.claim(["n1"], at(1))
    await store.postpone("n1", at(2), odd)
    assert "\U0001f4a5" in (await store.outgoing(["n1"]))["n1"].error
    assert "\U0001f4a5" in (await store.history(None, since=T0))[0].text

"""What the agent's own user sees of a unit's processes on a real host, where most of them are another user's."""

import json
from typing import Any

from tests.systemd.host import Host

LOOK = """
import asyncio, json, sys
from agent.evidence import gather, unit_pids, unit_process
async def look(unit):
    pids = await unit_pids(unit)
    main = unit_process(int(sys.argv[2]), unit)
    return {"pids": pids, "main": main and main.pid, "evidence": await gather(pids, cgroup=unit)}
print(json.dumps(asyncio.run(look(sys.argv[1]))))
"""


def look(host: Host, unit: str, main: str, user: str) -> Any:
    return json.loads(host.machine.run("/opt/codeblue/bin/python", "-c", LOOK, unit, main, user=user))


def test_the_processes_of_a_unit_are_found_and_told_by_the_agents_own_user(host: Host) -> None:
    main = host.machine.show("nginx.service", "MainPID")
    seen = look(host, "nginx.service", main, "codeblue")
    assert seen["main"] == int(main)
    workers = host.machine.run("pgrep", "--parent", main).split()
    assert {str(pid) for pid in seen["pids"]} == {main, *workers}
    rows = seen["evidence"]["processes"].splitlines()[1:]
    assert {row.split()[0] for row in rows} == {main, *workers}
    assert "nginx: master process" in rows[0]
    assert f"{main} nginx: they are another user's, and only root may see them" in seen["evidence"]["sockets and files"]


def test_root_sees_where_the_unit_listens(host: Host) -> None:
    seen = look(host, "nginx.service", host.machine.show("nginx.service", "MainPID"), "")
    assert "LISTEN 0.0.0.0:80 (pid " in seen["evidence"]["sockets and files"]


def test_a_restarted_unit_has_another_main_process_and_an_unknown_unit_has_none(host: Host) -> None:
    old = host.machine.show("watched.service", "MainPID")
    host.systemctl("restart", "watched")
    new = host.machine.show("watched.service", "MainPID")
    assert look(host, "watched.service", old, "codeblue")["main"] is None
    assert look(host, "watched.service", new, "codeblue")["main"] == int(new)
    assert look(host, "nothing.service", new, "codeblue") | {"evidence": {}} == {
        "pids": [],
        "main": None,
        "evidence": {},
    }

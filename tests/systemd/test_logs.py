"""The journal of a real host, read by the agent's own user in its sandbox."""

import json

from tests.systemd.host import Host
from tests.systemd.machine import wait_for

SEARCH = ("logs", "search", "fire", "--json", "--config", "/etc/codeblue/config.yaml")


def test_what_a_unit_says_in_the_journal_is_kept_read_and_counted(host: Host) -> None:
    found = wait_for("the line", lambda: host.machine.run("/opt/codeblue/bin/codeblue", *SEARCH, user="codeblue"))
    line = json.loads(found.splitlines()[0])
    assert line["source"] == "journal:talker.service"
    assert (line["service"], line["level"], line["text"]) == ("nginx", "error", "disk-on-fire")
    assert line["trace_id"] == "4bf92f3577b34da6"
    counted = 'codeblue_log_lines_total{level="error",service="nginx",source="journal"}'
    assert counted in host.machine.get("/metrics")

"""Ends what supervised processes have started, when the agent is killed. A script, run as a file by `children`.

    python -I -S guard.py

The kernel kills each supervised process with the agent (see `launcher`), but not what that had started itself: a worker
of a web server would go on and keep its port. So this reads from stdin which process groups there are (`+GROUP` and
`-GROUP` lines); the end of stdin is the end of the agent, and then it kills those that are left, and ends.
"""

import os
import signal
import sys
from collections.abc import Iterable


def left(lines: Iterable[str]) -> set[int]:
    """The groups that were named and not taken back. A line that was cut off names none."""
    groups: set[int] = set()
    for line in lines:
        if line.endswith("\n"):
            (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    return groups


def main() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # what ends it is the end of the agent
    for group in left(sys.stdin):
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main()

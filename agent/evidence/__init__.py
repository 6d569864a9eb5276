"""What is known of a service's processes just before they are ended: everything that a restart destroys.

Nothing in here raises, blocks the event loop or takes longer than it was given: a restart never waits for evidence.
"""

from agent.evidence.changes import recent_changes
from agent.evidence.gather import LIMIT, SECONDS, add_processes, gather
from agent.evidence.members import container_pids, program_pids, unit_files, unit_pids, unit_process
from agent.evidence.proc import Identity, identity, same_process

__all__ = [
    "LIMIT",
    "SECONDS",
    "Identity",
    "add_processes",
    "container_pids",
    "gather",
    "identity",
    "program_pids",
    "recent_changes",
    "same_process",
    "unit_files",
    "unit_pids",
    "unit_process",
]

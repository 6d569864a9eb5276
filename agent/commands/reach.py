"""Whether a user without privileges can get at the program that is installed: at one in root's own home he can't."""

import stat
import sys
from pathlib import Path

import agent


def out_of_reach(program: Path) -> str:
    """Which folder on the way to that script, its interpreter or its code others may not enter; empty if none. It goes
    by the folders' modes alone: an access list may still let somebody in."""
    needed = [program, program.parent / "python"]
    if program.parent == Path(sys.executable).parent:
        needed.append(Path(agent.__file__))
    for path in needed:
        if path.exists() and (folder := _closed(path)) is not None:
            return f"{folder} lets nobody in, and {path} is needed"
    return ""


def _closed(path: Path) -> Path | None:
    """A folder on the way there, by its own name or behind its links, that others may not enter."""
    folders = sorted({*path.absolute().parents, *path.resolve().parents}, reverse=True)
    return next((folder for folder in folders if not folder.stat().st_mode & stat.S_IXOTH), None)

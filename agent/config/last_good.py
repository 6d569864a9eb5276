"""The last configuration that was good, kept beside the state database, for a start on which the files are not.

Kept are the texts as they were written: ${NAME} stays a reference, and what a *_file names stays where it is. Whoever
can read the copy knows what the configuration files themselves say, so only the agent's own user can.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from agent.config.model import Config
from agent.config.report import Document
from agent.config.variables import expand

log = structlog.get_logger()

ENDING = ".last-good"
_SQLITE = "sqlite:///"
_STORE = re.compile(r"""\bstore["']?\s*:\s*["']?sqlite:///((?:\$\{[^{}]*\}|[^"'\s,}])+)""")


@dataclass(frozen=True, slots=True)
class Copy:
    """A configuration as it was on disk when it was last put in force: texts by absolute path, the main file first,
    and the folders that were searched for included ones."""

    kept_at: datetime
    labels: Mapping[Path, str]
    texts: Mapping[Path, str]
    folders: tuple[Path, ...]

    def text(self, path: Path) -> str:
        return self.texts[_absolute(path)]

    def included(self) -> list[Document]:
        """The included files, in their order, and the folders without a label."""
        files = [Document(self.labels[path], path) for path in list(self.texts)[1:]]
        return [*(Document("", folder) for folder in self.folders), *files]


def digest(raw: bytes) -> str:
    """What tells one content of a file from another."""
    return hashlib.sha256(raw).hexdigest()


def keep(config: Config) -> bool:
    """Keep what this configuration was read from, in place of what was kept before. False where that is not possible:
    no folder for it, a file that was changed since, a disk that is full; nothing is changed then."""
    place = _place(config.agent.store)
    if place is None:
        return False
    documents = []
    try:
        for source in config.sources:
            raw = source.path.read_bytes()
            if digest(raw) != source.digest:
                return False  # it will be read anew, and kept then
            text = raw.decode("utf-8-sig")
            documents.append({"label": source.label, "path": str(_absolute(source.path)), "text": text})
        folders = [str(_absolute(path)) for path in config.files if path.is_dir()]
        kept_at = datetime.now(UTC).isoformat()
        _write(place, json.dumps({"kept_at": kept_at, "documents": documents, "folders": folders}))
    except OSError as error:
        log.warning("last_good_not_kept", path=str(place), error=error.strerror or str(error))
        return False
    return True


def find(path: Path, env: Mapping[str, str]) -> Copy | None:
    """The newest copy of the configuration of this name, None where there is none. It is looked for beside the state
    database that the file names, if it can still be read that far, in $STATE_DIRECTORY, and beside the file."""
    folders = [
        _store_folder(path, env),
        *map(Path, filter(None, env.get("STATE_DIRECTORY", "").split(":"))),
        path.parent,
    ]
    places = {place for folder in folders if folder for place in sorted(folder.glob(f"*{ENDING}"))}
    copies = [copy for place in places if (copy := _read(place)) and next(iter(copy.texts)) == _absolute(path)]
    return max(copies, key=lambda copy: copy.kept_at, default=None)


def _place(store: str) -> Path | None:
    if store.startswith(_SQLITE):
        return Path(store.removeprefix(_SQLITE) + ENDING)
    folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder, f"codeblue{ENDING}") if folder else None


def _store_folder(path: Path, env: Mapping[str, str]) -> Path | None:
    try:
        found = _STORE.search(path.read_text(errors="replace"))
    except OSError:
        return None
    return (path.parent / expand(found[1], env, lambda _: None, lambda *_: None)).parent if found else None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _write(place: Path, text: str) -> None:
    """All of it or nothing, for the agent's own eyes, and on the disk when this returns."""
    fresh = place.with_name(f"{place.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(place)


def _read(place: Path) -> Copy | None:
    """What was kept there; None, and a word in the log, for what the agent did not write itself."""
    try:
        with place.open() as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
                log.warning("last_good_ignored", path=str(place), why="others may write it")
                return None
            kept = json.load(file)
        documents = [(Path(one["path"]), one) for one in kept["documents"]]
        return Copy(
            kept_at=datetime.fromisoformat(kept["kept_at"]),
            labels={path: str(one["label"]) for path, one in documents},
            texts={path: str(one["text"]) for path, one in documents},
            folders=tuple(map(Path, kept["folders"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("last_good_ignored", path=str(place), why=f"{type(error).__name__}: {error}")
        return None

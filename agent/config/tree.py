"""The files of a configuration as one tree of plain values, each with its place."""

import glob
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.last_good import Copy, digest
from agent.config.model import Source
from agent.config.nearest import did_you_mean
from agent.config.report import Document, Place, Report
from agent.config.variables import expand
from agent.config.yaml_text import read_yaml

LARGEST = 64 * 1024 * 1024  # bytes of one file

SECTIONS = (
    "agent",
    "defaults",
    "services",
    "processes",
    "channels",
    "groups",
    "people",
    "oncall",
    "escalation",
    "routes",
    "maintenance",
    "alerts_in",
    "storm",
    "drill",
    "logs",
    "include",
)
FREE = "x-"  # a place for anchors: x-common: &common {...}
# what included files may hold
SHARED = ("services", "processes", "channels", "groups", "people", "oncall", "escalation", "maintenance", "logs")


@dataclass(frozen=True, slots=True)
class Entry:
    """One service, channel, person, log source … as it is written; `name` is the key in a section of names."""

    place: Place
    value: object
    name: str = ""


@dataclass(slots=True)
class Tree:
    """A whole configuration as it is written, over all files."""

    main: Place
    agent: object = None
    defaults: object = None
    storm: object = None
    alerts_in: object = None
    drill: object = None
    services: list[Entry] = field(default_factory=list)
    processes: list[Entry] = field(default_factory=list)
    channels: list[Entry] = field(default_factory=list)
    groups: list[Entry] = field(default_factory=list)
    people: list[Entry] = field(default_factory=list)
    oncall: list[Entry] = field(default_factory=list)
    escalation: list[Entry] = field(default_factory=list)
    routes: list[Entry] = field(default_factory=list)
    maintenance: list[Entry] = field(default_factory=list)
    logs: list[Entry] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    complete: bool = True  # every file could be read to its end


def read_tree(path: Path, env: Mapping[str, str], report: Report, copy: Copy | None = None) -> Tree:
    """Read a file and all that it includes, from disk or from a copy. Whatever cannot be read is reported and left
    out."""
    document = Document(str(path), path)
    tree = Tree(Place(document), files=[path])
    reading = _Reading(env, report, copy, tree.sources)
    tree.complete = _read(document, reading) and isinstance(document.value, dict)
    top = _sections(document, SECTIONS, report)
    tree.agent, tree.defaults = top.get("agent"), top.get("defaults")
    tree.storm, tree.alerts_in, tree.drill = (top.get(name) for name in ("storm", "alerts_in", "drill"))
    _collect(document, top, tree, report)
    for included in copy.included() if copy else _included(tree, top.get("include"), report):
        tree.files.append(included.path)
        if not included.label:
            continue
        tree.complete &= _read(included, reading)
        _collect(included, _sections(included, SHARED, report), tree, report)
    return tree


@dataclass(frozen=True, slots=True)
class _Reading:
    env: Mapping[str, str]
    report: Report
    copy: Copy | None
    sources: list[Source]


def _read(document: Document, reading: _Reading) -> bool:
    """Fill in the text and the value. False, and reported, when that was not possible to the end."""
    place, report = Place(document), reading.report
    document.value = {}
    report.opened(document)
    try:
        raw = reading.copy.text(document.path).encode() if reading.copy else _bytes(document.path)
        if len(raw) > LARGEST:
            report.add(place, f"expected at most {LARGEST // 1024 // 1024} MiB")
            return False
        document.text = raw.decode("utf-8-sig")
        reading.sources.append(Source(document.label, document.path, digest(raw)))
    except OSError as error:
        report.add(place, f"cannot be read: {error.strerror or error}")
        return False
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        report.add(place, f"expected UTF-8, got the byte 0x{raw[error.start]:02x}", line=line)
        return False
    value, troubles, complete = read_yaml(
        document.text, lambda text, complain: expand(text, reading.env, complain, report.hide)
    )
    for trouble in troubles:
        note = report.unread if trouble.value else report.add
        note(place.at(*trouble.path), trouble.message, line=trouble.line)
    if complete:
        document.value = value
    return complete


def _bytes(path: Path) -> bytes:
    """What a file holds, a little at a time: read(n) would take memory for n. More than LARGEST is cut off."""
    content = bytearray()
    with path.open("rb") as file:
        while len(content) <= LARGEST and (chunk := file.read(1 << 18)):
            content += chunk
    return bytes(content)


def _sections(document: Document, known: tuple[str, ...], report: Report) -> dict[str, object]:
    place, value = Place(document), document.value
    if not isinstance(value, dict):
        if value is not None or known is SECTIONS or not document.text.strip():
            got = "an empty file" if value is None else "a list" if isinstance(value, list) else "a single value"
            report.add(place, f"expected a mapping of {', '.join(known)}; got {got}")
        return {}
    for key in value:
        if key in known or key.startswith(FREE):
            continue
        if key in SECTIONS:
            report.add(place.at(key), f"belongs in the main file; an included one holds {', '.join(known)}")
        else:
            report.add(place.at(key), f"unknown key{did_you_mean(key, known)}")
    return value


def _collect(document: Document, top: Mapping[str, object], tree: Tree, report: Report) -> None:
    place = Place(document)
    listed = (
        ("services", tree.services),
        ("routes", tree.routes),
        ("maintenance", tree.maintenance),
        ("logs", tree.logs),
    )
    for section, entries in listed:
        value = top.get(section)
        if isinstance(value, list):
            entries.extend(Entry(place.at(section, n), item) for n, item in enumerate(value))
        elif value is not None:
            report.add(place.at(section), "expected a list, each item beginning with a dash")
    named = (
        ("processes", tree.processes),
        ("channels", tree.channels),
        ("groups", tree.groups),
        ("people", tree.people),
        ("oncall", tree.oncall),
        ("escalation", tree.escalation),
    )
    for section, entries in named:
        value = top.get(section)
        if isinstance(value, dict):
            entries.extend(Entry(place.at(section, name), item, name) for name, item in value.items())
        elif value is not None:
            report.add(place.at(section), "expected a mapping from names to options")


def _included(tree: Tree, value: object, report: Report) -> Iterator[Document]:
    """The files to include, and (without a label) the folders that were looked into, each once."""
    if value is None:
        return
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        report.add(tree.main.at("include"), "expected a list of folders or patterns, such as [conf.d/*.yaml]")
        return
    seen = {tree.main.document.path.resolve()}
    for n, pattern in enumerate(patterns):
        place = tree.main.at("include", n) if isinstance(value, list) else tree.main.at("include")
        try:
            for found in _matches(pattern, place, report.add):
                if found.path.resolve() not in seen:
                    seen.add(found.path.resolve())
                    yield found
        except OSError as error:
            report.add(place, f"cannot look into {error.filename or pattern}: {error.strerror or error}")
            yield Document("", tree.main.folder / pattern)


def _matches(pattern: str, place: Place, complain: Callable[[Place, str], None]) -> Iterator[Document]:
    base = place.folder
    label = base if str(base) != "." else Path()
    target = base / pattern
    if target.is_dir():
        yield Document("", target)
        names = sorted(p.name for p in target.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))
        yield from (Document(str(label / pattern / name), target / name) for name in names)
    elif glob.has_magic(pattern):
        folders = list(_folders(pattern, base))
        if not folders:
            complain(place, f"there is no folder {_before_magic(pattern)}")
        for folder in folders:
            yield Document("", folder)
            os.scandir(folder).close()  # glob finds nothing in what it may not read, and does not say so
        names = sorted(glob.glob(pattern, root_dir=base, recursive=True))
        yield from (Document(str(label / name), base / name) for name in names if (base / name).is_file())
    else:
        if target.is_file():
            yield Document(str(label / pattern), target)
        else:
            yield Document("", target)  # once it is there, it is a change
            complain(place, f"there is no file or folder {pattern}")


def _before_magic(pattern: str) -> Path:
    """The part of a pattern that names one folder."""
    parts = Path(pattern).parts
    return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))


def _folders(pattern: str, base: Path) -> Iterator[Path]:
    """Every folder in which something new could match a pattern."""
    parts = Path(pattern).parts
    for depth in range(len(_before_magic(pattern).parts), len(parts)):
        upper = str(Path(*parts[:depth]))
        found = glob.glob(upper, root_dir=base, recursive=True) if glob.has_magic(upper) else [upper]
        yield from (base / name for name in sorted(found) if (base / name).is_dir())

"""From paths to line numbers, by walking the YAML once more."""

from collections.abc import Collection, Iterator

import yaml

from agent.config.yaml_text import Events, line_of

Path = tuple[str | int, ...]


def find_lines(text: str, wanted: Collection[Path]) -> dict[Path, int]:
    """The line (from 1) of each path: of its key, or of its item's start. A path that is not written in the text has
    the line of its nearest written parent; 0 where there is none."""
    prefixes = {path[:length] for path in wanted for length in range(len(path) + 1)}
    written: dict[Path, int] = {}
    try:
        for path, line in _walk(text):
            if path in prefixes:
                written.setdefault(path, line)
    except yaml.YAMLError:
        pass  # the text is broken from here on, and that is reported with its own line; what was found stays right
    return {path: _nearest(path, written) for path in wanted}


def _nearest(path: Path, written: dict[Path, int]) -> int:
    return next((written[path[:n]] for n in range(len(path), 0, -1) if path[:n] in written), 0)


def _walk(text: str) -> Iterator[tuple[Path, int]]:
    """Every key and item with its line. An alias is one item; what is behind it was walked at its anchor."""
    path: list[str | int] = []
    stack: list[bool] = []  # is it a mapping
    key_next = False
    for event in yaml.parse(text, Loader=Events):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            path.pop()
            key_next = bool(stack) and stack[-1]
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        if key_next:
            path[-1] = event.value if isinstance(event, yaml.ScalarEvent) else ""
            yield tuple(path), line_of(event)
            if not isinstance(event, yaml.CollectionStartEvent):
                key_next = False
                continue
        elif stack and not stack[-1]:
            path[-1] = int(path[-1]) + 1
            yield tuple(path), line_of(event)
        if isinstance(event, yaml.CollectionStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            stack.append(mapping)
            path.append("" if mapping else -1)
            key_next = mapping
        else:
            key_next = bool(stack) and stack[-1]

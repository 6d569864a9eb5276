"""Texts cut to a size in all, the small ones whole."""

from collections.abc import Mapping

CUT = "\n… cut"
NAME = 2  # bytes that a part takes beyond its name and its text


def weight(texts: Mapping[str, str]) -> int:
    """How many bytes of UTF-8 these texts take with their names."""
    return sum(_size(name) + _size(text) + NAME for name, text in texts.items())


def trim(texts: Mapping[str, str], limit: int) -> dict[str, str]:
    """The same texts in at most `limit` bytes in all. What fits into an even share stays whole, and what it leaves is
    shared by the others, which are cut at their end between two characters. An empty text goes."""
    room = limit
    shares: dict[str, int] = {}
    waiting = sorted(texts, key=lambda name: _size(name) + _size(texts[name]))
    for index, name in enumerate(waiting):
        fixed = _size(name) + NAME
        shares[name] = max(0, min(_size(texts[name]), room // (len(waiting) - index) - fixed))
        if shares[name]:
            room -= shares[name] + fixed
    cut = {name: _cut(text, shares[name]) for name, text in texts.items()}
    return {name: text for name, text in cut.items() if text}


def _cut(text: str, size: int) -> str:
    if _size(text) <= size:
        return text
    kept = text.encode("utf-8", "replace")[: max(0, size - len(CUT.encode()))].decode("utf-8", "ignore")
    return kept + CUT if kept else ""


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))

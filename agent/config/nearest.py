"""Naming what was probably meant."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'every'?` where something known is near, in whatever letters; else nothing."""
    import difflib

    names = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f": did you mean {names[near[0]]!r}?" if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The same, else what there is (the first dozen, maybe none)."""
    names = sorted(known)
    if near := nearest(word, names):
        return near
    if not names:
        return ""
    more = ", …" if len(names) > 12 else ""
    return f": expected {'one of ' if len(names) > 1 else ''}{', '.join(names[:12])}{more}"

"""Naming what was probably meant."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'every'?` where something known is near, else what there is (the first dozen, maybe none)."""
    import difflib

    names = sorted(known)
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if near:
        return f": did you mean {near[0]!r}?"
    if not names:
        return ""
    more = ", …" if len(names) > 12 else ""
    return f": expected {'one of ' if len(names) > 1 else ''}{', '.join(names[:12])}{more}"

"""Numbers of things, in words."""


def counted(count: int, what: str) -> str:
    """ "1 check", "2 checks"."""
    return f"{count} {what}{'' if count == 1 else 's'}"

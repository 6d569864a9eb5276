"""In which time zone whoever sits at the terminal reads and writes times."""

import warnings
from zoneinfo import ZoneInfo

UNKNOWN = "UTC"
UTC_TOO = frozenset({"Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"})  # names of it


def reader_zone(asked: str = "") -> str:
    """The IANA zone that was asked for, else that of the terminal (TZ, then the host's). Raises ValueError for a name
    that is no zone; a host that does not say has UTC."""
    zone = asked or _of_the_host()
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        if not asked:
            return UNKNOWN
        raise ValueError(f"expected a time zone such as Europe/Berlin or UTC, got {asked!r}") from error
    return UNKNOWN if zone in UTC_TOO else zone


def _of_the_host() -> str:
    import tzlocal

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about hosts that say two different things: the first one counts
        try:
            return tzlocal.get_localzone_name() or UNKNOWN
        except (LookupError, ValueError, OSError):
            return UNKNOWN

"""What to do about a drill that failed: for whoever is paged about it at night. Pure."""

from agent.ports import DrillLeg, DrillOutcome

_BY_REASON = {
    "auth": "renew the channel's token or password, and what it may do",
    "archived": "choose another channel, or unarchive this one",
    "not_found": "check the channel's name and address, and that codeblue was invited there",
    "rate_limited": "see what else sends to it, and raise `within` if it is only slow",
    "network": "check the way to it from this host: DNS, proxy, firewall",
    "tls": "check its certificate, and the authorities that this host trusts",
}
_BY_LEG = {
    "decision": "see `codeblue oncall coverage` and the agent's log: nobody would have been paged",
    "delivery": "see the agent's log and `codeblue doctor`, and mend the channel",
    "read back": "look into the channel itself: is it the right one, and who or what removes messages there?",
    "seen": "reach whoever is on call (`codeblue oncall now`) and find out why the telephone was silent",
    "closing": "see `codeblue dead-letters list` and the agent's log: people may not be told when it is over",
}


def kind_of(leg: DrillLeg) -> str:
    """What sort of leg it is: its name without the contact."""
    return leg.name.partition("/")[0]


def contact_of(leg: DrillLeg) -> str:
    """The contact that it is about, empty for the legs that are about none."""
    return leg.name.partition("/")[2]


def why(of: str, legs: tuple[DrillLeg, ...]) -> str:
    """Which legs failed, as one sentence; empty where none did."""
    bad = [leg for leg in legs if leg.outcome is DrillOutcome.FAILED]
    if not bad:
        return ""
    told = "; ".join(f"{leg.name}: {leg.detail}" for leg in bad)
    return f"the fire drill for {of} failed: {told}"


def remedy(again: str, legs: tuple[DrillLeg, ...]) -> str:
    """What to do about the first leg that failed, and the command that proves it; empty where none did."""
    for leg in legs:
        if leg.outcome is DrillOutcome.FAILED:
            reason = leg.detail.partition(":")[0]
            what = _BY_REASON.get(reason) or _BY_LEG[kind_of(leg)]
            return f"{what[0].upper()}{what[1:]}. Then prove it: {again}."
    return ""


def in_lines(legs: tuple[DrillLeg, ...]) -> str:
    """The legs as a text for people, one a line."""
    return "\n".join(
        f"{leg.name}: {leg.outcome.value}, {leg.seconds:.2f} s{f' ({leg.detail})' if leg.detail else ''}"
        for leg in legs
    )

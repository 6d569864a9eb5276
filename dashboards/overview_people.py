"""Panels of the overview about people: who is not asked, and how soon those who are hear of it and answer."""

from dashboards.panels import BLUE, GREY, ORANGE, PURPLE, RED, Levels, Panel, Query, figure, lines
from dashboards.promql import AGENTS, or_zero


def quiet_now() -> Panel:
    def by(kind: str) -> str:
        return or_zero(f'sum(codeblue_quiet_services{{{AGENTS}, kind="{kind}"}})')

    return figure(
        "Quiet services",
        "Services that nobody is paged about now, whatever happens to them, by what keeps them quiet, and the silences "
        "in force. Blue: there are some; the status page, `codeblue silence list` and `codeblue maintenance list` say "
        "which, why, by whom and until when.",
        Query(by("silence"), "silenced"),
        Query(by("maintenance"), "under maintenance"),
        Query(by("hours"), "outside their hours"),
        Query(or_zero(f'sum(codeblue_silences{{{AGENTS}, state="active"}})'), "silences in force"),
        red_from=[(1, BLUE)],
        well=GREY,
        span=24,
        height=3,
    )


def _how_long(title: str, about: str, histogram: str, red_from: Levels) -> Panel:
    """Median and worst of a histogram in the time shown, every observation of it counted."""
    grew = f"sum by (le) (increase({histogram}_bucket{{{AGENTS}}}[$__range]))"
    return figure(
        title,
        about,
        Query(f"histogram_quantile(0.5, {grew})", "median"),
        Query(f"histogram_quantile(0.95, {grew})", "95 %"),
        unit="s",
        red_from=red_from,
        span=8,
    )


def how_quickly() -> list[Panel]:
    return [
        _how_long(
            "From the first miss to the decision",
            "How long it took to be sure that a service is down, in the time shown. Red: two misses take too long; "
            "lower `every` or `retry` of the checks that page.",
            "codeblue_detection_seconds",
            [(15, ORANGE), (60, RED)],
        ),
        _how_long(
            "From the decision to the page",
            "How long it took until a channel had the page, in the time shown. Red: a channel is slow or limits us; "
            "see “codeblue: the agent” for tries by outcome.",
            "codeblue_page_delivery_seconds",
            [(5, ORANGE), (30, RED)],
        ),
        _how_long(
            "Until somebody took it on",
            "From the opening of an incident until a person acknowledged it, in the time shown. Red: pages reach "
            "nobody who can answer; look at `codeblue oncall coverage` and at the waits of the escalation.",
            "codeblue_acknowledge_seconds",
            [(300, ORANGE), (900, RED)],
        ),
    ]


def quiet_over_time() -> Panel:
    return lines(
        "Quiet services over time",
        "Services that nobody was paged about, by what kept them quiet. An incident without a page began while this "
        "was above zero: `codeblue explain SERVICE` says whether it was the reason.",
        Query(f"sum by (kind) (codeblue_quiet_services{{{AGENTS}}})", "{{kind}}"),
        stacked=True,
        colors={"silence": BLUE, "maintenance": PURPLE, "hours": GREY},
        span=24,
        height=6,
    )

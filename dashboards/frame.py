"""What all dashboards of codeblue have in common: variables, links to each other, time range, numbering."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from dashboards.panels import DATASOURCE, Panel

OVERVIEW_UID = "codeblue-overview"
AGENT_UID = "codeblue-agent"
TITLES = {OVERVIEW_UID: "codeblue: services", AGENT_UID: "codeblue: the agent"}

Rows = Mapping[str, Sequence[Panel]]


def frame(uid: str, about: str, rows: Rows, *, with_services: bool, since: str) -> model.Dashboard:
    """A dashboard of these rows of panels. Everything that Grafana would number or name by itself is fixed here, so
    that the same source always gives the same file."""
    made = dashboard.Dashboard(TITLES[uid]).uid(uid).description(about).tags(["codeblue"]).readonly()
    made.timezone("browser").refresh("30s").time(since, "now").tooltip(model.DashboardCursorSync.CROSSHAIR).version(1)
    for variable in _variables(with_services=with_services):
        made.with_variable(variable)
    for other, title in TITLES.items():
        if other != uid:
            made.link(_link(other, title))
    for title, panels in rows.items():
        made.with_row(dashboard.Row(title))
        for panel in panels:
            made.with_panel(panel)
    built = made.build()
    for number, each in enumerate(built.panels or [], start=1):
        each.id_val = number
    return built


def _link(uid: str, title: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"/d/{uid}").icon("dashboard")
    return link.tooltip(f"Open “{title}” for the same time and agents").keep_time(True).include_vars(True)


def _variables(*, with_services: bool) -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    job = _choice("job", "Job", "label_values(codeblue_build_info, job)")
    # all targets of those jobs: an agent that never answered must not be missing from the choice
    agent = _choice("instance", "Agent", 'label_values(up{job=~"$job"}, instance)')
    if not with_services:
        return [source, job, agent]
    services = 'label_values(codeblue_service_health{job=~"$job", instance=~"$instance"}, service)'
    # "All" must not become a regular expression of ten thousand names
    return [source, job, agent, _choice("service", "Service", services).all_value(".*")]


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    variable = dashboard.QueryVariable(name).label(label).datasource(DATASOURCE)
    variable.query({"query": query, "refId": f"variable-{name}"}).current(everything)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(model.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True)

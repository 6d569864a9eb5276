"""The kinds of panels that the dashboards are made of, each with its looks settled once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = "green", "yellow", "orange", "red", "blue", "purple", "#808080"

Panel = Builder[model.Panel]
Levels = Sequence[tuple[float, str]]  # from this value on, this colour; below the first all is well


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and the name of what it draws."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, by the name that Grafana gives it ("Value #B"). `shown` maps values to text and colour;
    `link` is where a click on a cell leads."""

    source: str
    name: str
    unit: str = ""
    shown: Mapping[str, tuple[str, str]] | None = None
    link: str = ""


class _Common(Protocol):
    """What the builders of all kinds of panels have."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def with_target(self, target: Dataquery) -> Self: ...


def _begin(panel: _Common, title: str, about: str, span: int, height: int) -> None:
    panel.title(title).description(about).datasource(DATASOURCE).span(span).height(height)


def _ask(
    panel: _Common,
    queries: Sequence[Query],
    *,
    instant: bool,
    shape: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> None:
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = Dataquery().expr(query.expr).ref_id(letter).datasource(DATASOURCE).format(shape)
        target = target.legend_format(query.legend) if query.legend else target
        panel.with_target(target.instant() if instant else target.range())


def levels(steps: Levels, well: str = GREEN) -> dashboard.ThresholdsConfig:
    below = [model.Threshold(value=None, color=well)]
    above = [model.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(below + above)


def texts(shown: Mapping[str, tuple[str, str]]) -> model.ValueMap:
    """Values shown as a word in a colour."""
    results = {
        value: model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(shown.items())
    }
    return model.ValueMap(options=results)


def _last_value() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def figure(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    red_from: Levels = (),
    well: str = GREEN,
    shown: Mapping[str, tuple[str, str]] | None = None,
    names: bool = False,
    span: int = 3,
    height: int = 4,
) -> Panel:
    """A number as it is now, on a coloured ground. `names` shows the legend in place of the number."""
    panel = stat.Panel()
    _begin(panel, title, about, span, height)
    _ask(panel, queries, instant=True)
    panel.unit(unit).thresholds(levels(red_from, well)).reduce_options(_last_value())
    panel.color_mode(looks.BigValueColorMode.BACKGROUND).graph_mode(looks.BigValueGraphMode.NONE)
    if shown:
        panel.mappings([texts(shown)])
    if names:
        panel.text_mode(looks.BigValueTextMode.NAME)
    elif len(queries) > 1:
        panel.text_mode(looks.BigValueTextMode.VALUE_AND_NAME)
    return panel


def lines(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    red_from: Levels = (),
    stacked: bool = False,
    colors: Mapping[str, str] | None = None,
    span: int = 12,
    height: int = 8,
) -> Panel:
    """Curves over time. `colors` are fixed for the series whose names match these regular expressions."""
    panel = timeseries.Panel()
    _begin(panel, title, about, span, height)
    _ask(panel, queries, instant=False)
    panel.unit(unit).min(0).line_width(1).show_points(looks.VisibilityMode.NEVER)
    panel.fill_opacity(30 if stacked else 5).tooltip(_all_in_one())
    panel.legend(_legend()).thresholds(levels(red_from))
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if red_from:
        dashed = common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED)
        panel.thresholds_style(dashed)
    _paint(panel, colors)
    return panel


def bars(title: str, about: str, *queries: Query, colors: Mapping[str, str] | None = None, span: int = 8) -> Panel:
    """Events counted per step: stacked bars, whole numbers."""
    panel = timeseries.Panel()
    _begin(panel, title, about, span, 8)
    _ask(panel, queries, instant=False)
    panel.unit("short").decimals(0).min(0).interval("1m").no_value("None in this time.").draw_style(
        looks.GraphDrawStyle.BARS
    )
    panel.fill_opacity(80).line_width(0).tooltip(_all_in_one()).legend(_legend())
    panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    _paint(panel, colors)
    return panel


def _all_in_one() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)


def _legend() -> common.VizLegendOptions:
    where = common.VizLegendOptions().placement(looks.LegendPlacement.BOTTOM)
    return where.display_mode(looks.LegendDisplayMode.LIST).show_legend(True)


def _paint(panel: timeseries.Panel, colors: Mapping[str, str] | None) -> None:
    for pattern, color in (colors or {}).items():
        fixed = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        panel.override_by_regexp(pattern, [fixed])


def ranking(
    title: str,
    about: str,
    query: Query,
    *,
    unit: str,
    red_from: Levels,
    well: str = GREEN,
    most: float | None = None,
    none: str = "",
    span: int = 8,
) -> Panel:
    """One bar for each of a few series, as it is now."""
    panel = bargauge.Panel()
    _begin(panel, title, about, span, 8)
    _ask(panel, [query], instant=True)
    panel.unit(unit).min(0).thresholds(levels(red_from, well)).reduce_options(_last_value())
    panel.orientation(looks.VizOrientation.HORIZONTAL).display_mode(looks.BarGaugeDisplayMode.BASIC)
    if most is not None:
        panel.max(most)
    if none:
        panel.no_value(none)
    return panel


def timeline(title: str, about: str, query: Query, shown: Mapping[str, tuple[str, str]], none: str) -> Panel:
    """States over time, a row for each series; a series is a number that stands for a state."""
    panel = statetimeline.Panel()
    _begin(panel, title, about, 24, 8)
    _ask(panel, [query], instant=False)
    panel.mappings([texts(shown)]).no_value(none).merge_values(True).fill_opacity(80).line_width(0)
    panel.show_value(looks.VisibilityMode.NEVER).row_height(0.85).legend(_legend())
    return panel


def density(title: str, about: str, query: Query, *, unit: str, span: int = 12) -> Panel:
    """How the buckets of a histogram filled over time."""
    panel = heatmap.Panel()
    _begin(panel, title, about, span, 8)
    _ask(panel, [query], instant=False, shape=PromQueryFormat.HEATMAP)
    panel.calculate(False).y_axis(heatmap.YAxisConfig().unit(unit)).cell_gap(1).show_tooltip().hide_legend()
    panel.hide_from(common.HideSeriesConfig().tooltip(False).legend(False).viz(False))
    panel.color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(64).exponent(0.5).reverse(False))
    return panel


def listing(
    title: str, about: str, queries: Sequence[Query], columns: Sequence[Column], *, none: str, span: int = 12
) -> Panel:
    """A table with a row for each set of labels and the columns in this order; whatever is not named is left out."""
    panel = table.Panel()
    _begin(panel, title, about, span, 9)
    _ask(panel, queries, instant=True, shape=PromQueryFormat.TABLE)
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    keep = {"names": [column.source for column in columns]}
    panel.with_transformation(model.DataTransformerConfig(id_val="filterFieldsByName", options={"include": keep}))
    order = {column.source: index for index, column in enumerate(columns)}
    rename = {column.source: column.name for column in columns}
    organized = {"excludeByName": {}, "indexByName": order, "renameByName": rename}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
    panel.no_value(none).show_header(True).cell_height(looks.TableCellHeight.SM)
    for column in columns:
        if column.unit:
            panel.override_by_name(column.name, [model.DynamicConfigValue(id_val="unit", value=column.unit)])
        if column.link:
            link = {"title": f"Only this {column.name.lower()}", "url": column.link}
            panel.override_by_name(column.name, [model.DynamicConfigValue(id_val="links", value=[link])])
        if column.shown:
            panel.override_by_name(column.name, _colored(column.shown))
    return panel


def _colored(shown: Mapping[str, tuple[str, str]]) -> list[model.DynamicConfigValue]:
    colored = {"type": "color-background", "mode": "gradient"}
    return [
        model.DynamicConfigValue(id_val="mappings", value=[texts(shown)]),
        model.DynamicConfigValue(id_val="custom.cellOptions", value=colored),
    ]

"""Which of the two text formats a scraper prefers."""


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header prefers OpenMetrics: named, and not with a lower q than plain text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        kind, *parameters = (text.strip() for text in part.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    return weights["application/openmetrics-text"] > 0 and (
        weights["application/openmetrics-text"] >= weights["text/plain"]
    )


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return _quality(value)
    return 1.0


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0

"""`token_file: path` beside every secret `token`: the content of a file instead of a text in the configuration."""

from pathlib import Path

from agent.config.fields import Model, guards_secrets, keys, nested, secrets
from agent.config.report import Place, Report

LARGEST = 65_536  # bytes


def fill_secrets(model: Model, value: object, place: Place, report: Report, used: list[Path]) -> object:
    """The same options with every NAME_file replaced by NAME and what the file holds, blanks around it removed.

    Paths start from the folder of the file in which they are written. A list of secrets takes one from each line.
    Every file that is named is added to `used`; one that cannot be read is reported.
    """
    if not isinstance(value, dict) or not guards_secrets(model):
        return value
    filled = dict(value)
    for name, many in secrets(model).items():
        key = f"{name}_file"
        if key in value and key not in keys(model):
            content = _read(filled.pop(key), place.at(key), place.at(name), report, used)
            if name in value:
                report.add(place.at(key), f"expected either {name} or {key}, got both")
            else:
                filled[name] = content.splitlines() if many else content
                for secret in content.splitlines():
                    report.hide(secret, f"the content of {key}")
    for name, models in nested(model).items():
        for inner in models:
            filled[name] = _fill_inner(inner, filled.get(name), place.at(name), report, used)
        if filled[name] is None and name not in value:
            del filled[name]
    return filled


def _fill_inner(model: Model, value: object, place: Place, report: Report, used: list[Path]) -> object:
    if isinstance(value, list):
        return [fill_secrets(model, item, place.at(n), report, used) for n, item in enumerate(value)]
    return fill_secrets(model, value, place, report, used)


def _read(name: object, place: Place, secret: Place, report: Report, used: list[Path]) -> str:
    """What a file holds; empty, and reported, where that is no secret. `secret` is the place that it stands for."""
    if not isinstance(name, str) or not name:
        report.unread(place, "expected the path of a file", value=secret)
        return ""
    path = place.folder / name
    used.append(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1).decode()
    except (OSError, ValueError) as error:
        reason = (
            "it is not text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error
        )
        report.unread(place, f"cannot read {name}: {reason}", value=secret)
        return ""
    if len(content) > LARGEST or not content.strip():
        got = "a huge one" if content.strip() else "an empty file"
        report.unread(place, f"expected a secret in {name}, got {got}", value=secret)
        return ""
    return content.strip()

"""${NAME} in the values of a configuration."""

import re
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(text: str, env: Mapping[str, str], complain: Callable[[str], None], used: Callable[[str, str], None]) -> str:
    """Replace ${NAME} by its value and ${NAME:-default} by the default where NAME is unset or empty; $${ is a plain ${.

    Each reference that cannot be replaced is told to `complain` and stands for an empty text. Every value that was
    taken from `env` is told to `used` with its reference.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        reference = _NAME.fullmatch(found[1] or "")
        if not reference:
            complain(f"expected ${{NAME}} or ${{NAME:-default}}, got {found[0]!r} (write $${{ for a plain ${{)")
            return ""
        name, default = reference.groups()
        if env.get(name) or (default is None and name in env):
            used(env[name], f"${{{name}}}")
            return env[name]
        if default is None:
            complain(f"the environment variable {name} is not set (${{{name}:-default}} gives it a default)")
        return default or ""

    return _REFERENCE.sub(value, text)

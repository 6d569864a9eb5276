"""Which services a silence, a window or a route means: `service=api`, `severity!=critical`, `team=~"db|cache"`.

An attribute is `service`, `severity`, `group`, or the name of a label; one that a service lacks is the empty text. All
matchers of a text must hold. `=~` and `!~` take an expression for the whole value (`agent.core.patterns`).
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from agent.core.patterns import compiled
from agent.core.policy import Policy

BUILT_IN = ("service", "severity", "group")
EVERYTHING = "all"  # the one word that is no matcher: every service
MOST = 32  # matchers in one text
LONGEST = 4096  # characters

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SIGN = re.compile(r"\s*(=~|!~|!=|==|=)\s*")
_PLAIN = re.compile(r'(?:\{\d*,\d*\}|[^\s,"])+')  # the comma of {1,2} belongs to an expression
_BARE = re.compile(r"[A-Za-z0-9_./:@+*|-]+")  # a value that is written without quotes
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPES = MappingProxyType({"n": "\n", "t": "\t", '"': '"', "\\": "\\"})


class Sign(StrEnum):
    IS = "="
    IS_NOT = "!="
    LIKE = "=~"
    NOT_LIKE = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition. `str` gives a text that is read back as the same."""

    name: str
    sign: Sign
    value: str

    def __post_init__(self) -> None:
        if self.sign in (Sign.LIKE, Sign.NOT_LIKE):
            try:
                compiled(self.value)
            except ValueError as error:
                raise ValueError(f"{self}: {error}") from None

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{_written(self.value)}"

    def holds(self, attributes: Mapping[str, str]) -> bool:
        return self.test()(attributes.get(self.name, ""))

    def test(self) -> Callable[[str], bool]:
        """What the value of its attribute is put to."""
        wanted = self.value
        match self.sign:
            case Sign.IS:
                return lambda value: value == wanted
            case Sign.IS_NOT:
                return lambda value: value != wanted
            case Sign.LIKE:
                return compiled(wanted).matches
            case Sign.NOT_LIKE:
                pattern = compiled(wanted)
                return lambda value: not pattern.matches(value)


@dataclass(frozen=True, slots=True)
class Matchers:
    """Conditions that must all hold. Without any it is every service."""

    all_of: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.all_of)) or EVERYTHING

    def hold(self, attributes: Mapping[str, str]) -> bool:
        return all(matcher.holds(attributes) for matcher in self.all_of)

    @property
    def names_services(self) -> bool:
        """Whether somebody wrote down the very service that he means."""
        return any(matcher.name == "service" and matcher.sign is Sign.IS for matcher in self.all_of)


def attributes(policy: Policy) -> dict[str, str]:
    """What matchers look at. A label cannot take the place of what is built in."""
    built_in = {"service": policy.service, "severity": policy.severity, "group": policy.group}
    return {**policy.labels, **built_in}


def parse(text: str, known: Collection[str] | None = None) -> Matchers:
    """Matchers with blanks or commas between, or the word `all`. A value with blanks, commas or quotes stands in double
    quotes, within which a backslash takes away the meaning of a quote or a backslash.

    `known` are the attributes that there are; without it any name is taken. Raises ValueError, with what was expected
    and the nearest attribute, for anything else.
    """
    text = text.strip()
    if text == EVERYTHING:
        return Matchers()
    if len(text) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} characters of matchers")
    found: list[Matcher] = []
    at = 0
    while at < len(text):
        matcher, at = _one(text, at, known)
        found.append(matcher)
        between = re.compile(r"\s*,\s*|\s+|$").match(text, at)
        if between is None:
            raise ValueError(f"expected a blank or a comma after {matcher}, got {text[at:]!r}")
        at = between.end()
    if not found:
        raise ValueError("expected a matcher such as service=api, severity!=critical, team=~db.*; or all")
    if len(found) > MOST:
        raise ValueError(f"expected at most {MOST} matchers, got {len(found)}")
    return Matchers(tuple(dict.fromkeys(found)))


def parse_all(texts: Iterable[str], known: Collection[str] | None = None) -> Matchers:
    """The matchers of all texts together. Raises ValueError as `parse` does."""
    found = [parse(text, known) for text in texts]
    if not found:
        raise ValueError("expected a matcher such as service=api; or all")
    return Matchers(tuple(dict.fromkeys(matcher for matchers in found for matcher in matchers.all_of)))


def unknown_service(matchers: Matchers, services: Collection[str]) -> str:
    """A service that these name and that there is not; empty where there is none such."""
    named = (matcher.value for matcher in matchers.all_of if matcher.name == "service" and matcher.sign is Sign.IS)
    return next((name for name in named if name not in services), "")


def _one(text: str, at: int, known: Collection[str] | None) -> tuple[Matcher, int]:
    name = _NAME.match(text, at)
    if name is None:
        word = _word(text, at)
        raise ValueError(f"expected a matcher such as service=api, got {word!r}: a value with {word[0]} needs quotes")
    sign = _SIGN.match(text, name.end())
    if sign is None:
        word = _word(text, at)
        raise ValueError(f"expected a matcher such as service=api, got {word!r}{_meant(word, known)}")
    if known is not None and name[0] not in known:
        raise ValueError(f"no service has an attribute {name[0]!r}{_nearest(name[0], known)}")
    value, end = _value(text, sign.end(), name[0])
    kind = Sign.IS if sign[1] == "==" else Sign(sign[1])
    return Matcher(name[0], kind, value), end


def _value(text: str, at: int, name: str) -> tuple[str, int]:
    if text[at : at + 1] == '"':
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            raise ValueError(f"{name}: the value begins with a quote that nothing ends: {text[at:]}")
        return _unescaped(quoted[1]), quoted.end()
    plain = _PLAIN.match(text, at)
    if plain is None:
        raise ValueError(f'{name}: a value is missing; one that is empty is written {name}=""')
    return plain[0], plain.end()


def _unescaped(text: str) -> str:
    def meant(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            return found[0]  # an expression's own backslash
        return _ESCAPES[found[1]]

    return re.sub(r"\\(.)", meant, text, flags=re.DOTALL)


def _written(value: str) -> str:
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _word(text: str, at: int) -> str:
    return re.split(r"[\s,]", text[at:], maxsplit=1)[0] or text[at]


def _meant(word: str, known: Collection[str] | None) -> str:
    name = re.split(r"[^A-Za-z0-9_.-]", word, maxsplit=1)[0]
    if known is not None and name in known:
        return f": write {name}=VALUE"
    return f": write service={word}" if _BARE.fullmatch(word) else ""


def _nearest(name: str, known: Collection[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": expected one of {', '.join(sorted(known))}"

"""Regular expressions that take time in proportion to the text, whatever the expression.

`re` backtracks: what somebody types into a silence at night could stop every check of the agent. These are compiled to
a nondeterministic automaton, whose sets of states are followed and remembered as they are met (Thompson's construction,
as in grep). An expression always stands for the whole text.

Known are: literals, `.`, `[a-z]` and `[^a-z]`, `\\d \\w \\s` and their opposites, `( )` and `(?: )`, `|`, `*`, `+`,
`?`, `{2}`, `{2,}`, `{2,4}`, a backslash before anything that is no letter or digit, and `^` and `$` at the two ends.
"""

import re
import string
from functools import lru_cache

from agent.core.automaton import Part, Pieces, State, Test, reachable

LONGEST = 1000  # characters of an expression
MOST_NESTED = 50  # brackets within brackets
MOST_REMEMBERED = 4096  # steps; then it is begun anew

_WORD = frozenset(string.ascii_letters + string.digits + "_")
_CLASSES: dict[str, Test] = {
    "d": lambda char: char in "0123456789",
    "w": lambda char: char in _WORD,
    "s": lambda char: char in " \t\n\r\f\v",
    "D": lambda char: char not in "0123456789",
    "W": lambda char: char not in _WORD,
    "S": lambda char: char not in " \t\n\r\f\v",
}
_PLAIN = re.compile(r"\^?([A-Za-z0-9_-]+)")
_SPECIAL = frozenset("\\.[](){}|*+?^$")


class Pattern:
    """A compiled expression. Raises ValueError, with what is wrong and where, for one that is not understood."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"an expression of more than {LONGEST} characters")
        self.text = text
        self._prefix = _prefix(text)
        whole = _Parser(text).parse()
        self._end = whole.end
        self._first = reachable([whole.start])
        self._steps: dict[tuple[frozenset[State], str], frozenset[State]] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text is what the expression stands for."""
        if not text.startswith(self._prefix):
            return False
        now = self._first
        for char in text:
            step = self._steps.get((now, char))
            if step is None:
                step = self._step(now, char)
            if not step:
                return False
            now = step
        return self._end in now

    def _step(self, now: frozenset[State], char: str) -> frozenset[State]:
        if len(self._steps) >= MOST_REMEMBERED:
            self._steps.clear()
        led_to = [state.next for state in now if state.test is not None and state.next and state.test(char)]
        found = self._steps[now, char] = reachable(led_to)
        return found


@lru_cache(maxsize=4096)
def compiled(text: str) -> Pattern:
    """The same expression is compiled once. Raises ValueError."""
    return Pattern(text)


def quoted(text: str) -> str:
    """An expression for exactly this text."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in text)


def _prefix(text: str) -> str:
    """What every text that matches begins with, as far as can be seen at once: most are told from others by it."""
    plain = _PLAIN.match(text)
    if plain is None or "|" in text:
        return ""
    follows = text[plain.end() : plain.end() + 1]
    return plain[1][:-1] if follows and follows in "*?{" else plain[1]


class _Parser:
    """Recursive descent: alternatives of sequences of repeated atoms."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._pieces = Pieces()
        self._depth = 0

    def parse(self) -> Part:
        if self._peek() == "^":
            self._at += 1
        ends = len(self._text)
        if self._text.endswith("$") and (ends - len(self._text[:-1].rstrip("\\"))) % 2 == 1:
            self._text = self._text[:-1]
        whole = self._alternatives()
        if self._at < len(self._text):
            raise self._wrong("a ) without a (")
        return whole

    def _alternatives(self) -> Part:
        found = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._sequence())
        return found[0] if len(found) == 1 else self._pieces.either(found)

    def _sequence(self) -> Part:
        found: list[Part] = []
        while self._peek() not in ("", "|", ")"):
            found.append(self._repeated())
        return self._pieces.chain(found)

    def _repeated(self) -> Part:
        atom = self._atom()
        least, most = self._times()
        if (least, most) != (1, 1):
            if self._peek() and self._peek() in "*+?{":
                raise self._wrong("a second sign for how often")
            atom = self._pieces.repeat(atom, least, most)
        return atom

    def _times(self) -> tuple[int, int | None]:
        sign = self._peek()
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if sign in simple:
            self._at += 1
            return simple[sign]
        if sign != "{":
            return 1, 1
        inside, brace, _ = self._text[self._at + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        written = [part for part in (low, high) if part]
        if not brace or not low or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in written):
            raise self._wrong("expected how often, such as {2} or {2,4}; a { itself is \\{")
        self._at += len(inside) + 2
        least = int(low)
        most = int(high) if high else (None if comma else least)
        if most is not None and most < least:
            raise self._wrong(f"{{{inside}}} is at most less often than at least")
        return least, most

    def _atom(self) -> Part:
        char = self._text[self._at]
        self._at += 1
        match char:
            case "(":
                return self._group()
            case "[":
                return self._pieces.one(self._set())
            case ".":
                return self._pieces.one(lambda _: True)
            case "\\":
                return self._pieces.one(self._escaped())
            case "*" | "+" | "?" | "{":
                raise self._wrong(f"nothing stands before {char}", back=1)
            case "^" | "$":
                raise self._wrong(f"{char} within: it always stands for the whole text", back=1)
        return self._pieces.one(_just(char))

    def _group(self) -> Part:
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._peek() == "?":
            raise self._wrong("(? is not understood: only ( ) and (?: )")
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise self._wrong(f"more than {MOST_NESTED} brackets within brackets")
        inside = self._alternatives()
        self._depth -= 1
        if self._peek() != ")":
            raise self._wrong("a ( without a )")
        self._at += 1
        return inside

    def _escaped(self) -> Test:
        char = self._peek()
        self._at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if not char or char in _WORD:
            raise self._wrong(f"\\{char} is not understood", back=1)
        return _just(char)

    def _set(self) -> Test:
        inverted = self._peek() == "^"
        self._at += inverted
        tests: list[Test] = []
        while self._peek() != "]" or not tests:
            if not self._peek():
                raise self._wrong("a [ without a ]")
            tests.append(self._member())
        self._at += 1
        if inverted:
            return lambda char: not any(test(char) for test in tests)
        return lambda char: any(test(char) for test in tests)

    def _member(self) -> Test:
        """One character, class or range within square brackets."""
        low = self._peek()
        self._at += 1
        if low == "\\":
            if self._peek() in _CLASSES:
                return self._escaped()
            low = self._literal()
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return _just(low)
        self._at += 1
        high = self._peek()
        self._at += 1
        if high == "\\":
            high = self._literal()
        if high < low:
            raise self._wrong(f"the range {low}-{high} is the wrong way round")
        return lambda char: low <= char <= high

    def _literal(self) -> str:
        char = self._peek()
        self._escaped()
        if char in _CLASSES:
            raise self._wrong(f"\\{char} cannot end a range", back=1)
        return char

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _wrong(self, what: str, back: int = 0) -> ValueError:
        return ValueError(f"{what} (at character {self._at + 1 - back} of {self._text!r})")


def _just(wanted: str) -> Test:
    return lambda char: char == wanted

"""What a posted request says, key by key, with a clear 400 for what is not understood."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.exceptions import HTTPException

from agent.core.durations import parse_duration
from agent.operations import NoSuchService, Refused

Keys = Mapping[str, type | tuple[type, ...]]


def refusal(refused: Refused) -> HTTPException:
    """How a refusal is answered: 404 where what it is about is not there, else 409."""
    return HTTPException(404 if isinstance(refused, NoSuchService) else 409, str(refused))


class Asked:
    """A JSON object of these keys. Raises HTTPException for anything else."""

    def __init__(self, body: Any, keys: Keys) -> None:
        if not isinstance(body, dict):
            raise HTTPException(400, f"expected an object of {', '.join(keys)}")
        for key, value in body.items():
            if key not in keys:
                raise HTTPException(400, f"unknown key {key!r}: expected {', '.join(keys)}")
            if value is not None and not isinstance(value, keys[key]):
                raise HTTPException(400, f"{key}: expected {_spoken(keys[key])}")
        self._body: dict[str, Any] = body

    def text(self, key: str, otherwise: str = "") -> str:
        return self._body.get(key) or otherwise

    def flag(self, key: str) -> bool:
        return bool(self._body.get(key))

    def texts(self, key: str) -> list[str]:
        """One text or a list of them."""
        found = self._body.get(key) or []
        found = [found] if isinstance(found, str) else found
        if not all(isinstance(one, str) for one in found):
            raise HTTPException(400, f"{key}: expected a text or a list of texts")
        return found

    def span(self, key: str) -> timedelta | None:
        text = self.text(key)
        try:
            return parse_duration(text) if text else None
        except ValueError as error:
            raise HTTPException(400, f"{key}: {error}") from error


def _spoken(kind: type | tuple[type, ...]) -> str:
    words = {str: "a text", bool: "true or false", list: "a list of texts"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(words[one] for one in kinds)

"""What every kind of options has in common."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """The options of one check, channel or action type: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def people(self) -> Mapping[tuple[str, ...], Sequence[str]]:
        """The names of people that these options hold, by the option's path: config sees to it that each is one."""
        return {}


O = TypeVar("O", bound=Options)  # noqa: E741

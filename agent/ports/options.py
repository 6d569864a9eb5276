"""What every kind of options has in common."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """The options of one check, channel or action type: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


O = TypeVar("O", bound=Options)  # noqa: E741

"""What a validator that others wrote says of a text, by our schema."""

from typing import Any

import jsonschema

from agent.config.model import Tables
from agent.config.schema import json_schema
from agent.config.yaml_text import read_yaml
from tests.config.small_tables import TABLES


def written(text: str) -> Any:
    value, troubles, complete = read_yaml(text, lambda scalar, complain: scalar)
    assert complete
    assert not troubles
    return value


def refusals(text: str, tables: Tables = TABLES) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema(tables))
    return [error.message for error in validator.iter_errors(written(text))]

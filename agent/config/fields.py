"""What the options models say about themselves: which fields are secrets, which are models of their own."""

import types
from collections.abc import Iterator
from functools import cache
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

Model = type[BaseModel]


@cache
def keys(model: Model) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that stand for them in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


@cache
def secrets(model: Model) -> dict[str, bool]:
    """The keys that hold a secret; True where it is a list of them."""
    return {key: _is_list(f.annotation) for key, f in keys(model).items() if SecretStr in _leaves(f.annotation)}


@cache
def nested(model: Model) -> dict[str, tuple[Model, ...]]:
    """The keys that hold options models of their own."""
    found = {key: tuple(_models(field.annotation)) for key, field in keys(model).items()}
    return {key: models for key, models in found.items() if models}


@cache
def guards_secrets(model: Model) -> bool:
    """Is there a secret in it, however deep?"""
    return bool(secrets(model)) or any(guards_secrets(m) for ms in nested(model).values() for m in ms if m is not model)


def allowed(model: Model) -> list[str]:
    """Every key that may be written for this model."""
    return [*keys(model), *(f"{key}_file" for key in secrets(model) if f"{key}_file" not in keys(model))]


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types that a value may be in the end; mappings are left out, they have keys of their own."""
    if get_origin(annotation) in (Union, types.UnionType, list, tuple):
        for part in get_args(annotation):
            yield from _leaves(part)
    elif hasattr(annotation, "__metadata__"):
        yield from _leaves(get_args(annotation)[0])
    else:
        yield annotation


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return get_origin(annotation) in (list, tuple)


def _models(annotation: Any) -> Iterator[Model]:
    if get_origin(annotation) is dict:
        annotation = get_args(annotation)[1]
    for leaf in _leaves(annotation):
        if isinstance(leaf, type) and issubclass(leaf, BaseModel):
            yield leaf

"""What YAML files of ours have in common: variables in their texts, and one-line messages where they are wrong."""

from __future__ import annotations

import os
import re
from typing import Any

from pydantic import BaseModel, ValidationError

from smdown.errors import ConfigError


def expand_variables(value: Any, where: str) -> Any:
    """Return `value` with each ``${NAME}`` in its texts replaced by the environment variable of that name.

    Raises
    ------
    ConfigError
        If the environment has no such variable.
    """
    if isinstance(value, dict):
        return {key: expand_variables(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [expand_variables(inner, where) for inner in value]
    if not isinstance(value, str):
        return value
    for name in re.findall(r"\$\{(\w+)\}", value):
        if name not in os.environ:
            raise ConfigError(
                f"got ${{{name}}} in {where}, but the environment has no {name}; "
                f"set it (export {name}=...), or write the value itself"
            )
        value = value.replace(f"${{{name}}}", os.environ[name])
    return value


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first mistake in one line, with the legal names where one is unknown."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"got an unknown key {where!r}; legal ones here are {', '.join(_legal(model, first['loc'][:-1]))}"
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    got = "" if first["type"] == "missing" else f", got {str(first['input'])[:80]!r}"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{got}{more}"


def _legal(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the model at `path`, following tags of unions, maps and lists."""
    models = [model]
    for part in path:
        models = [inner for outer in models for inner in _inner(outer, part)] or models
    return sorted({name for found in models for name in found.model_fields})


def _inner(model: type[BaseModel], part: int | str) -> list[type[BaseModel]]:
    if isinstance(part, str) and part in model.model_fields:
        return _models_in(model.model_fields[part].annotation)
    kind = model.model_fields.get("kind")
    tagged = kind is not None and part == kind.default
    return [model] if tagged or kind is None else []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models_in(arg)]

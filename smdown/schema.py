"""What YAML files of ours have in common: variables in their texts, and one-line messages where they are wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

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
    errors = error.errors()
    places = [tuple(_named(model, e["loc"])) for e in errors]
    first, place = errors[0], places[0]
    if first["type"] == "extra_forbidden":
        legal = ", ".join(_legal(model, first["loc"][:-1]))
        return f"got an unknown key {_dotted(place)!r}; legal ones here are {legal}"
    inside = [p for p in places if p[: len(place)] == place]
    place = max(inside, key=len)  # of several forms that a value may have, the one that was begun
    own = [e for e, p in zip(errors, places, strict=True) if p == place]
    reasons = ", or: ".join(dict.fromkeys(_reason(e) for e in own))
    unknown = all(e["type"] == "missing" or "tag" in e["type"] for e in own)
    given = "" if unknown else f", got {str(own[0]['input'])[:80]!r}"
    left = len(set(places)) - len(set(inside))
    return f"{_dotted(place)}: {reasons}{given}{f' (and {left} more)' if left else ''}"


def _reason(error: Any) -> str:
    context = error.get("ctx", {})
    if error["type"] == "union_tag_invalid":
        return f"got the {context['discriminator'][1:-1]} '{context['tag']}'; it is one of {context['expected_tags']}"
    if error["type"] == "union_tag_not_found":
        return f"got no {context['discriminator'][1:-1]}, which says what this is"
    return str(error["msg"]).removeprefix("Value error, ")


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))


def _named(annotation: Any, path: tuple[int | str, ...]) -> Iterator[int | str]:
    """Yield the parts of a place that stand in the file, without those that say which of several forms was tried."""
    if not path:
        return
    part, rest = path[0], path[1:]
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield part
        field = annotation.model_fields.get(str(part))
        yield from _named(field.annotation if field else None, rest)
    elif origin is Annotated:
        yield from _named(inner[0], path)
    elif origin in (Union, UnionType):
        forms = [form for form in inner if form is not NoneType]
        if len(forms) == 1:
            yield from _named(forms[0], path)
        else:
            yield from _named(next((f for f in forms if _is_form(f, str(part))), None), rest)
    elif inner:  # a map or a list
        yield part
        yield from _named(inner[-1] if origin is dict else inner[0], rest)
    else:
        yield from path


def _is_form(annotation: Any, label: str) -> bool:
    """Whether pydantic means this form of a value by the label."""
    models = _models_in(annotation)
    return any(label == getattr(m.model_fields.get("kind"), "default", None) or m.__name__ in label for m in models)


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

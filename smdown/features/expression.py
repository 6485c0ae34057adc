"""Arithmetic over fields, as a project file writes it: names, numbers, operators and a few functions, nothing else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
LONGEST = 500
"""Characters of an expression, at most."""
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": np.sqrt, "log": np.log, "exp": np.exp, "abs": np.abs, "minimum": np.minimum, "maximum": np.maximum,
}  # fmt: skip
_ARGUMENTS = {"minimum": 2, "maximum": 2}


def variables(text: str) -> tuple[str, ...]:
    """Return the names that an expression needs, in the order of their first use.

    Raises
    ------
    ValueError
        In one line, if it is no arithmetic over at least one variable.
    """
    found: dict[str, None] = {}
    _visit(_parsed(text), found)
    if not found:
        raise ValueError(f"got the expression {text!r}, which names no variable of the source")
    return tuple(found)


def evaluate(text: str, fields: Mapping[str, F32]) -> F32:
    """Return the expression's value, float32; NaN where it is not finite."""
    with np.errstate(all="ignore"):
        value = np.asarray(_value(_parsed(text), fields), dtype=np.float32)
    return np.where(np.isfinite(value), value, np.float32(np.nan))


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ValueError(f"got an expression of {len(text)} characters; {LONGEST} are the most")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"got the expression {text!r}, which is no arithmetic ({error})") from None


def _visit(node: ast.expr, found: dict[str, None]) -> None:
    match node:
        case ast.Name(id=name):
            found[name] = None
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            _visit(left, found)
            _visit(right, found)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            _visit(operand, found)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            wanted = _ARGUMENTS.get(name, 1)
            if len(arguments) != wanted:
                raise ValueError(f"got {name} of {len(arguments)} arguments; it takes {wanted}")
            for argument in arguments:
                _visit(argument, found)
        case _:
            raise ValueError(
                f"got {ast.unparse(node)!r} in an expression; use variables, numbers, + - * / ** and "
                f"{', '.join(FUNCTIONS)}"
            )


def _value(node: ast.expr, fields: Mapping[str, F32]) -> Any:
    match node:
        case ast.Name(id=name):
            return fields[name]
        case ast.Constant(value=value):
            return np.float32(value)  # type: ignore[arg-type]  # numbers only, by `variables`
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_value(left, fields), _value(right, fields))
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATORS[type(op)](_value(operand, fields))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name](*(_value(argument, fields) for argument in arguments))
    raise AssertionError(ast.dump(node))

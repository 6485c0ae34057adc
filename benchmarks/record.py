"""The record of a run: what was measured, and each promise beside the figure of this very run."""

from __future__ import annotations

import json
import math
import operator
from pathlib import Path
from typing import Any, Literal

_HOLDS = {">=": operator.ge, "<=": operator.le}


def claim(text: str, value: float | None, unit: str, sign: Literal[">=", "<="], bar: float) -> dict[str, Any]:
    """Set a figure beside its bar; what was not measured does not hold."""
    known = value is not None and math.isfinite(value)
    return {
        "claim": text,
        "value": value if known else None,
        "unit": unit,
        "bar": f"{sign} {bar:g}",
        "holds": bool(known and _HOLDS[sign](value, bar)),
    }


def write(path: Path, machine: dict[str, Any], results: list[dict[str, Any]], claims: list[dict[str, Any]]) -> None:
    """Write the record as JSON: whatever is not finite becomes null."""
    record = {"machine": machine, "results": results, "claims": claims}
    path.write_text(json.dumps(_plain(record), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

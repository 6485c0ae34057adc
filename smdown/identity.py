"""Fingerprints: short names of whatever determines a result, so that a resumed run never mixes two."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(*parts: Any) -> str:
    """Return 16 hexadecimal digits that change whenever any part (JSON-like, or with a text form) does."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

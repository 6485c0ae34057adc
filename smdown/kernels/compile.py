"""How loops are compiled, and where the result is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])
_HERE = Path(__file__).parent


def _digest() -> str:
    """Return a name for the state of this room's sources.

    Numba looks for a change in the file of a function, but not in those of the functions that it calls: a loop whose
    parts have changed would go on as it was.
    """
    content = b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))
    return hashlib.sha256(content).hexdigest()[:16]


_CACHE = Path(numba.config.CACHE_DIR or _HERE / "__pycache__") / f"kernels-{_digest()}"


def compiled(function: F) -> F:
    """Compile a loop: without the interpreter's lock, kept on disk, dividing as the hardware does."""
    usual, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_CACHE)
    try:
        made: F = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = usual
    return made

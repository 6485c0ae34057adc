"""smdown: coarse soil moisture, made fine.

A distributed raster system that turns coarse soil moisture (SMAP, 9 km, surface and root zone) into 30 m maps.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["Project", "open_project"]


def __getattr__(name: str) -> Any:
    """Import the project only when it is asked for: ``smdown --version`` should not wait for PyTorch."""
    if name in __all__:
        return getattr(importlib.import_module("smdown.project"), name)
    raise AttributeError(f"module 'smdown' has no attribute {name!r}")

"""Whether what only some projects need is installed."""

from __future__ import annotations

import importlib.util

from smdown.errors import ConfigError


def baselines_available() -> bool:
    """Whether scikit-learn is there."""
    return importlib.util.find_spec("sklearn") is not None


def check_baselines() -> None:
    """Refuse baselines where scikit-learn is missing.

    Raises
    ------
    ConfigError
        Saying how to install it.
    """
    if not baselines_available():
        raise ConfigError(
            "got evaluation.baselines: true, but scikit-learn is not installed; "
            "install smdown[baselines], or set evaluation.baselines: false"
        )

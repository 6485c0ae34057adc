"""What ``smdown verify`` and ``smdown info`` print about any artefact of ours."""

from smdown.describe.artefact import describe
from smdown.describe.soundness import verify_cubes

__all__ = ["describe", "verify_cubes"]

"""How far a run has come, seen from another process or machine."""

from smdown.status.console import print_status, status_parts
from smdown.status.reading import RunStatus, StageStatus, read_status

__all__ = ["RunStatus", "StageStatus", "print_status", "read_status", "status_parts"]

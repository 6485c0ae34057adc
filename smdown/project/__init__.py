"""A project: its configuration, its directory, and its stages as plain calls."""

from smdown.project.project import STAGES, Project, open_project
from smdown.project.reporting import report_of

__all__ = ["STAGES", "Project", "open_project", "report_of"]

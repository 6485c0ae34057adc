"""A project: its configuration, its directory, and its stages as plain calls."""

from smdown.project.project import STAGES, Project, open_project

__all__ = ["STAGES", "Project", "open_project"]

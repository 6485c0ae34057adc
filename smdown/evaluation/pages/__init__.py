"""Sections of the report from files beside ``metrics.json``: space, uncertainty, stations."""

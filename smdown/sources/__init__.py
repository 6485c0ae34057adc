"""Readers of what users have: SMAP files, rasters, NetCDF, reflectance scenes and stations, each into a cube."""

from smdown.sources.config import SourceConfig
from smdown.sources.context import IngestContext
from smdown.sources.ingest import IngestTask, check, file_identity, ingest_plan, run_ingest
from smdown.sources.table import open_stations

__all__ = [
    "IngestContext",
    "IngestTask",
    "SourceConfig",
    "check",
    "file_identity",
    "ingest_plan",
    "open_stations",
    "run_ingest",
]

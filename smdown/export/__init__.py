"""Files to give away: GeoTIFFs with a STAC catalogue, pictures, a pyramid of levels, series of points and polygons.

What draws and warps is imported when it is first asked for: many commands never do.
"""

from typing import TYPE_CHECKING

from smdown.export.select import Tell, silent
from smdown.later import imported_later

if TYPE_CHECKING:
    from smdown.export.areas import polygon_series
    from smdown.export.cog import export_cog
    from smdown.export.maps import export_maps
    from smdown.export.places import read_points, read_polygons
    from smdown.export.pyramid import export_pyramid
    from smdown.export.series import Series, point_series, write_series

__all__ = [
    "Series",
    "Tell",
    "export_cog",
    "export_maps",
    "export_pyramid",
    "point_series",
    "polygon_series",
    "read_points",
    "read_polygons",
    "silent",
    "write_series",
]

__getattr__ = imported_later(
    __name__,
    areas="polygon_series",
    cog="export_cog",
    maps="export_maps",
    places="read_points read_polygons",
    pyramid="export_pyramid",
    series="Series point_series write_series",
)

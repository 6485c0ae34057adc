"""Files to give away: GeoTIFFs with a STAC catalogue, pictures, a pyramid of levels, series of points and polygons."""

from smdown.export.areas import polygon_series
from smdown.export.cog import export_cog
from smdown.export.maps import export_maps
from smdown.export.places import read_points, read_polygons
from smdown.export.pyramid import export_pyramid
from smdown.export.quicklook import quicklook
from smdown.export.select import Tell, silent
from smdown.export.series import Series, point_series, write_series

__all__ = [
    "Series",
    "Tell",
    "export_cog",
    "export_maps",
    "export_pyramid",
    "point_series",
    "polygon_series",
    "quicklook",
    "read_points",
    "read_polygons",
    "silent",
    "write_series",
]

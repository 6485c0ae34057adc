"""smdown: coarse soil moisture, made fine.

A distributed raster system that turns coarse soil moisture (SMAP, 9 km, surface and root zone) into 30 m maps.
"""

__version__ = "0.1.0"

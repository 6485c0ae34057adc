"""Optical products: how their files and assets are named, what their numbers mean, what their masks hide.

* HLS v2.0 (L30 and S30): Product User Guide, tables of bands and of the Fmask bits.
* Landsat Collection 2 Level 2, surface reflectance: USGS LSDS-1618 and LSDS-1619, QA_PIXEL table.
* Sentinel-2 Level 2A: Products Specification Document; scene classification (SCL) of Sen2Cor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ProductName = Literal["hls", "landsat_c2_l2", "sentinel2_l2a"]

FMASK_BITS = {"cirrus": 0, "cloud": 1, "adjacent": 2, "shadow": 3, "snow": 4, "water": 5}
"""Bits of the Fmask of HLS v2.0; cirrus is not used, 6 and 7 tell the aerosol level."""
QA_PIXEL_BITS = {
    "fill": 0, "dilated cloud": 1, "cirrus": 2, "cloud": 3, "shadow": 4, "snow": 5, "clear": 6, "water": 7,
}  # fmt: skip
"""Bits of the QA_PIXEL of Landsat Collection 2; the pairs from 8 on tell confidences."""
SCL_CLASSES = {
    "no data": 0, "saturated or defective": 1, "dark": 2, "shadow": 3, "vegetation": 4, "not vegetated": 5, "water": 6,
    "unclassified": 7, "cloud, medium": 8, "cloud, high": 9, "cirrus": 10, "snow": 11,
}  # fmt: skip
"""Classes of Sentinel-2's scene classification."""


@dataclass(frozen=True)
class Layout:
    """One way that the parts of a scene are named.

    Parameters
    ----------
    bands : mapping
        Pattern of the files, or key of the asset, by band.
    mask : str, optional
        The same of the quality mask.
    starts : tuple of str
        What the names of such scenes begin with, one of them.
    """

    bands: Mapping[str, str]
    mask: str | None = None
    starts: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Product:
    """What is known of a product.

    Parameters
    ----------
    files, assets : tuple of Layout
        Names of files on disk, and of assets of STAC items; the first that fits a scene counts.
    settings : mapping
        What it sets in a configuration that does not say otherwise.
    """

    files: tuple[Layout, ...]
    assets: tuple[Layout, ...]
    settings: Mapping[str, Any]


def _bands(form: str, *codes: str) -> dict[str, str]:
    return dict(zip(("green", "red", "nir", "swir1"), (form.format(code) for code in codes), strict=True))


def _bits(table: Mapping[str, int], *names: str) -> tuple[int, ...]:
    return tuple(sorted(table[name] for name in names))


_L30, _S30 = ("B03", "B04", "B05", "B06"), ("B03", "B04", "B8A", "B11")
_MSI = ("B03", "B04", "B08", "B11")

PRODUCTS: Mapping[str, Product] = {
    "hls": Product(
        files=(
            Layout(_bands("*.{}.tif", *_L30), "*.Fmask.tif", ("HLS.L30.",)),
            Layout(_bands("*.{}.tif", *_S30), "*.Fmask.tif", ("HLS.S30.",)),
        ),
        assets=(
            Layout(_bands("{}", *_L30), "Fmask", ("HLS.L30.",)),
            Layout(_bands("{}", *_S30), "Fmask", ("HLS.S30.",)),
        ),
        settings={
            "scale": 1e-4,
            "nodata": -9999.0,
            "mask_bits": _bits(FMASK_BITS, "cloud", "adjacent", "shadow", "snow"),
        },
    ),
    "landsat_c2_l2": Product(
        files=(
            Layout(_bands("*_SR_{}.TIF", "B3", "B4", "B5", "B6"), "*_QA_PIXEL.TIF", ("LC", "LO")),
            Layout(_bands("*_SR_{}.TIF", "B2", "B3", "B4", "B5"), "*_QA_PIXEL.TIF", ("LT", "LE")),
        ),
        assets=(Layout(_bands("{}", "green", "red", "nir08", "swir16"), "qa_pixel"),),
        settings={
            "scale": 2.75e-5,
            "offset": -0.2,
            "nodata": 0.0,
            "valid_range": (0.0, 1.6),  # 65455 counts; above, a saturated pixel
            "mask_bits": _bits(QA_PIXEL_BITS, "fill", "dilated cloud", "cirrus", "cloud", "shadow", "snow"),
        },
    ),
    "sentinel2_l2a": Product(
        files=(
            Layout(
                {
                    "green": "R10m/*_B03_10m.jp2",
                    "red": "R10m/*_B04_10m.jp2",
                    "nir": "R10m/*_B08_10m.jp2",
                    "swir1": "R20m/*_B11_20m.jp2",
                },
                "R20m/*_SCL_20m.jp2",
            ),
        ),
        assets=(
            Layout(_bands("{}", "green", "red", "nir", "swir16"), "scl"),
            Layout(_bands("{}", *_MSI), "SCL"),
            Layout(_bands("{}", "B03_10m", "B04_10m", "B08_10m", "B11_20m"), "SCL_20m"),
        ),
        settings={
            "scale": 1e-4,
            "offset": None,  # of each scene by its processing baseline
            "nodata": 0.0,
            "mask_bits": (),
            "mask_classes": _bits(
                SCL_CLASSES,
                *("no data", "saturated or defective", "shadow", "cloud, medium", "cloud, high", "cirrus", "snow"),
            ),
        },
    ),
}
"""The products by name."""

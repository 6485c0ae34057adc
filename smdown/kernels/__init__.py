"""Pure array functions: resampling, shape of the ground. Arrays and numbers in, arrays out; one thread a call."""

from smdown.kernels.axis import AxisWeights, axis_weights, tap_count
from smdown.kernels.separable import resample
from smdown.kernels.warp import interpolate_lattice, warp

__all__ = ["AxisWeights", "axis_weights", "interpolate_lattice", "resample", "tap_count", "warp"]

"""Pure array functions: resampling, shape of the ground. Arrays and numbers in, arrays out; one thread a call."""

from smdown.kernels.axis import RADIUS, AxisWeights, Method, axis_weights
from smdown.kernels.separable import resample
from smdown.kernels.warp import warp

__all__ = ["RADIUS", "AxisWeights", "Method", "axis_weights", "resample", "warp"]

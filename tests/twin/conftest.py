"""Two small twins and one region, made once."""

import numpy as np
import pytest

from smdown.twin import TwinSummary, make_twin
from smdown.twin.frame import Frame, make_frame
from smdown.twin.region import Region, make_region

ORIGIN = (-98.0, 35.0)


@pytest.fixture(scope="session")
def exact(tmp_path_factory: pytest.TempPathFactory) -> TwinSummary:
    """A twin of 2 x 2 cells whose coarse product has no error."""
    out = tmp_path_factory.mktemp("exact") / "twin"
    return make_twin(out, (2, 2), 20, 8, seed=3, truth_every=7, smap_noise=0.0)


@pytest.fixture(scope="session")
def frame() -> Frame:
    return make_frame((2, 2), ORIGIN)


@pytest.fixture(scope="session")
def region(frame: Frame) -> Region:
    """The region of the twin ``exact``."""
    return make_region(frame, 3)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

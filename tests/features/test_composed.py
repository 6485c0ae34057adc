"""Drivers that a user makes up: arithmetic in the project file, and functions of installed packages."""

import sys
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smdown.errors import ConfigError
from smdown.features import FeaturesConfig, expression, get_loader, plugins
from tests.features.world import BASE

DAY = np.datetime64("2020-04-18", "ns")
SAVI = {
    "name": "savi", "kind": "expression", "source": "optical", "expression": "1.5 * (nir - red) / (nir + red + 0.5)",
}  # fmt: skip
ROUGH = {
    "name": "rough", "kind": "function", "source": "optical", "function": "roughness", "variables": ("nir",),
    "halo_px": 2,
}  # fmt: skip
BANDS = tuple({"name": n, "kind": "expression", "source": "optical", "expression": n} for n in ("nir", "red"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with a driver function of the user's."""
    (tmp_path / "my_drivers.py").write_text(
        "import numpy as np\n"
        "def roughness(fields, dx, dy):\n"
        "    field = fields['nir']\n"
        "    assert len(dx) == len(dy) == len(field)\n"
        "    out = np.full_like(field, np.nan)\n"
        "    parts = [field[i:i + len(field) - 4, j:j + field.shape[1] - 4] for i in range(5) for j in range(5)]\n"
        "    out[2:-2, 2:-2] = np.std(parts, axis=0) / (dx * dy)[2:-2, None]\n"
        "    return out\n"
        "def wrong_shape(fields, dx, dy):\n"
        "    return fields['nir'][1:]\n"
    )
    info = tmp_path / "my_drivers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_drivers\nVersion: 1.0\n")
    lines = (
        "[smdown.drivers]", "roughness = my_drivers:roughness", "wrong = my_drivers:wrong_shape",
        "lost = my_drivers:no",
    )  # fmt: skip
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.driver_function.cache_clear()
    yield
    sys.modules.pop("my_drivers", None)
    plugins.driver_function.cache_clear()


@pytest.mark.parametrize("ratio", [300, 90, 9])
def test_an_expression_is_made_of_resampled_variables(make_spec, ratio):
    loader = get_loader(make_spec(drivers=(SAVI, *BANDS)))
    grid = BASE.at(ratio)
    savi, nir, red = loader.load(grid, grid.window, DAY)
    np.testing.assert_array_equal(savi, np.float32(1.5) * (nir - red) / (nir + red + np.float32(0.5)))
    assert np.isfinite(savi).mean() > 0.9
    assert loader.spec.dynamic_names == ("savi", "nir", "red")


def test_what_leaves_the_valid_range_is_missing(make_spec):
    middle = float(np.nanmedian(_load(make_spec(drivers=(SAVI,)))))
    cut = _load(make_spec(drivers=({**SAVI, "valid_range": (middle, 10.0)},)))
    assert 0.3 < np.isfinite(cut).mean() < 0.7
    assert np.nanmin(cut) >= middle


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("ratio", [300, 90])
def test_a_function_sees_its_halo_whatever_the_window(make_spec, ratio):
    loader = get_loader(make_spec(drivers=(ROUGH, BANDS[0])))
    grid = BASE.at(ratio)
    outer = grid.window.expand(-4)
    rough, _ = loader.load(grid, outer, DAY)
    assert np.isfinite(rough).mean() > 0.5
    inner = outer.expand(-7)
    np.testing.assert_array_equal(loader.load(grid, inner, DAY)[0], rough[inner.relative_to(outer).slices])
    _, wide = loader.load(grid, outer.expand(2), DAY)
    y, x = 11, 9
    size = grid.y_centres(outer.y0 + y, outer.y0 + y + 1)
    assert size.shape == (1,)
    wanted = wide[y : y + 5, x : x + 5].std()
    assert rough[y, x] * (9008.055210146 / ratio) ** 2 == pytest.approx(wanted, rel=0.02)  # an equal-area grid


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("function", "said"),
    [("nowhere", "installed packages offer .*roughness"), ("lost", "cannot be loaded"), ("wrong", "one value a pixel")],
)
def test_a_function_that_cannot_be_used_is_an_error(make_spec, function, said):
    with pytest.raises(ConfigError, match=said):
        _load(make_spec(drivers=({**ROUGH, "function": function},)))


def test_none_is_installed_by_default():
    assert not metadata.entry_points(group=plugins.GROUP)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no arithmetic"), ("1 + 2", "names no variable"), ("nir +", "no arithmetic"), ("nir.real", "got 'nir.real'"),
     ("__import__('os').system('true')", "use variables"), ("nir[0]", "use variables"), ("sqrt(nir, red)", "takes 1"),
     ("maximum(nir)", "takes 2"), ("nir if red else 1", "use variables"), ("'a' * nir", "use variables"),
     ("log(x=nir)", "use variables"), ("nir and True", "use variables"), ("nir + " * 200 + "1", "characters"),
     ("lambda: nir", "use variables"), ("(" * 240 + "nir" + ")" * 240, "no arithmetic|nir")],
)  # fmt: skip
def test_nothing_but_arithmetic_is_taken(text, said):
    with pytest.raises(ValidationError, match=said) as error:
        FeaturesConfig(drivers=({**SAVI, "expression": text},))
    assert "Traceback" not in str(error.value)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=2))
def test_values_are_those_of_numpy(values):
    a, b = (np.full((1, 1), v, np.float32) for v in values)
    text = "sqrt(abs(a)) - 2 * b ** 2 / (1 + maximum(a, -b)) + exp(-abs(b))"
    with np.errstate(all="ignore"):
        wanted = np.sqrt(np.abs(a)) - 2 * b**2 / (1 + np.maximum(a, -b)) + np.exp(-np.abs(b))
    found = expression.evaluate(text, {"a": a, "b": b})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.where(np.isfinite(wanted), wanted, np.nan), rtol=1e-6)
    assert expression.variables(text) == ("a", "b")


def _load(spec):
    grid = BASE.at(30)
    return get_loader(spec).load(grid, grid.window, DAY)[0]

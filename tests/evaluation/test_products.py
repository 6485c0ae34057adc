"""What a project file says of other products: taken, or refused in one line."""

from pathlib import Path

import pytest
import yaml

from smdown import open_project
from smdown.config import load_config
from smdown.errors import ConfigError, GridError
from smdown.project import jobs

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
ERA = 'sources.era={kind: netcdf, path: "era/*.nc", variables: {swvl1: swvl1}}'
COLLOCATION = "evaluation.triple_collocation.products.era5"
REFERENCE = "evaluation.references.era5"


def test_products_reach_the_job(tmp_path):
    overrides = (
        ERA,
        COLLOCATION + "={source: era, variables: {sm_surface: swvl1}, derives_from: [era5]}",
        "evaluation.triple_collocation.anomaly_days=35",
        REFERENCE + "={source: era, variables: {sm_surface: swvl1}, resolution: 1000}",
    )
    project = open_project(DEMO, workdir=str(tmp_path), overrides=overrides)
    config = project.config.evaluation
    (reference,) = jobs._products(project, config.references)
    (product,) = jobs._products(project, config.triple_collocation.products)
    assert (reference.name, reference.ratio, product.ratio) == ("era5", 9, 0)
    assert reference.url == product.url == f"{tmp_path}/sources/era.zarr"
    assert product.variable("sm_surface") == "swvl1"
    assert product.variable("sm_rootzone") is None
    assert config.triple_collocation.anomaly_days == 35


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((COLLOCATION + "={source: smap, variables: {sm_surface: sm_surface}}",), "derives from smap"),
        ((ERA, COLLOCATION + "={source: era, variables: {sm_surface: swvl1}, derives_from: [SMAP]}"), "from smap"),
        ((COLLOCATION + "={source: precipitation, variables: {sm_surface: p}}",), "derives from precipitation"),
        ((COLLOCATION + "={source: nothing, variables: {sm_surface: p}}",), "'nothing', which is not among sources"),
        ((ERA, COLLOCATION + "={source: era, variables: {sm_deep: p}}"), "sm_deep, which are not among layers"),
        (
            (ERA, COLLOCATION + "={source: era, variables: {sm_surface: p}}", "evaluation.stations=null"),
            "without evaluation.stations",
        ),
        ((ERA, REFERENCE + "={source: era, variables: {sm_surface: p}, resolution: 10}"), "finer than the map's 30 m"),
        (
            (ERA, "evaluation.references.day={source: era, variables: {sm_surface: p}, resolution: 1000}"),
            "called 'day'",
        ),
        ((ERA, REFERENCE + "={source: era, variables: {sm_surface: p}, resolution: 1000, ratio: 9}"), "unknown key"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(DEMO, (*overrides, "extent={cells: [400, 402, 800, 802]}"))
    assert "\n" not in str(error.value)


def test_a_grid_that_does_not_nest_is_refused():
    with pytest.raises((ConfigError, GridError), match="7000"):
        load_config(DEMO, (ERA, REFERENCE + "={source: era, variables: {sm_surface: p}, resolution: 7000}"))


def test_the_demonstration_names_none():
    assert yaml.safe_load(DEMO.read_text())["evaluation"].keys() <= {"stations", "baselines"}

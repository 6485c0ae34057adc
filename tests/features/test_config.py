"""Drivers as a project file names them: defaults, one-line errors, values that travel."""

import pickle

import pytest
from pydantic import ValidationError

from smdown.features import FeaturesConfig, build_spec, get_loader
from tests.features.world import BASE, DRIVERS, SEQUENCE

SOIL = {"name": "soil", "kind": "source", "source": "soil", "variable": "sand"}


def spec_of(drivers=DRIVERS, sequence=SEQUENCE, **places):
    places = {"sources_url": "s", "features_url": "f"} | places
    return build_spec(FeaturesConfig(drivers=drivers, sequence=sequence), BASE, **places)


def test_a_specification_travels():
    spec = spec_of()
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert hash(again) == hash(spec) == hash(spec_of())
    assert spec != spec_of(sources_url="elsewhere")
    assert spec != spec_of(DRIVERS[:-1])
    assert get_loader(again) is get_loader(spec)


def test_names_in_the_order_of_the_channels():
    spec = spec_of()
    assert spec.names == tuple(d["name"] for d in DRIVERS)
    assert spec.static_names == ("soil", "elevation", "slope", "northness", "own_slope", "tpi", "cover")
    assert spec.dynamic_names == ("ndvi", "rain_week", "rain_today")
    assert (spec.sequence_names, spec.sequence_ratio) == (("rain",), 9)
    assert spec_of(sequence=None).sequence_names == ()


def test_units_are_given_or_known():
    drivers = ({**SOIL, "units": "%"}, {"name": "s", "kind": "terrain", "measure": "slope", "source": "dem"})
    sequence = {"drivers": [{"name": "soil", "source": "a", "variable": "b"}]}
    assert spec_of(drivers, sequence).units == {"soil": "%", "s": "m m-1"}


def test_required_channels():
    drivers = (SOIL, {**SOIL, "name": "b", "required": False}, {**SOIL, "name": "c"})
    assert list(get_loader(spec_of(drivers)).required) == [0, 2]


def test_lists_of_a_file_become_tuples():
    config = FeaturesConfig.model_validate({"resolutions": [1000, 30], "drivers": [SOIL], "sequence": dict(SEQUENCE)})
    assert config.resolutions == config.materialised == (1000, 30)
    assert config.source_names == ("soil", "rain")
    assert FeaturesConfig(drivers=(SOIL,), materialise=(1000,)).materialised == (1000,)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "sourse"}, "'normalized_difference', 'expression', 'function', 'antecedent', 'daily'"),
     ({"no_such_key": "x"}, "no_such_key"), ({"name": "7soil"}, "pattern"), ({"resampling": "linear"}, "'bilinear'"),
     ({"kind": "terrain", "variable": "z"}, "measure"),
     ({"kind": "antecedent"}, "days"), ({"kind": "antecedent", "days": 0}, "greater than or equal to 1"),
     ({"kind": "antecedent", "days": 3, "decay": 1.5}, "less than or equal to 1"),
     ({"kind": "daily", "max_age_days": -1}, "max_age_days")],
)  # fmt: skip
def test_what_is_wrong_with_a_driver_is_named(change, message):
    with pytest.raises(ValidationError, match=message):
        FeaturesConfig(drivers=({**SOIL, **change},))


def test_names_stand_once():
    with pytest.raises(ValidationError, match="the drivers soil stand twice"):
        FeaturesConfig(drivers=(SOIL, SOIL))
    twice = {"drivers": (SEQUENCE["drivers"][0], SEQUENCE["drivers"][0])}
    with pytest.raises(ValidationError, match="the sequence's drivers rain stand twice"):
        FeaturesConfig(drivers=(SOIL,), sequence=twice)


def test_there_is_at_least_one_driver():
    with pytest.raises(ValidationError, match="drivers"):
        FeaturesConfig(drivers=())


def test_drivers_say_how_far_they_look_back():
    week, today = (d for d in DRIVERS if d["source"] == "rain")
    assert spec_of((SOIL,), None).lead_days == 0
    assert spec_of((SOIL, week), None).lead_days == 6
    assert spec_of((SOIL, today), None).lead_days == 2
    assert spec_of((SOIL, week)).lead_days == max(6, SEQUENCE["days"] - 1)
    assert spec_of((SOIL, week), {**SEQUENCE, "days": 30}).lead_days == 29

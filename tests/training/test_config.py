"""What a project file may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smdown.errors import ConfigError
from smdown.training import TrainingConfig, check_no_leak

CELLS = {"kind": "cell_mean", "source": "smap"}


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_a_label_that_is_a_driver_is_refused_by_name(labels, drivers):
    both = sorted(labels & drivers)
    if not both:
        check_no_leak(labels, drivers)
        return
    with pytest.raises(ConfigError, match=", ".join(both)):
        check_no_leak(labels, drivers)


def test_only_the_named_networks_are_trained():
    assert list(TrainingConfig(labels=[CELLS]).networks.chosen) == ["dnn", "cnn", "lstm"]
    config = TrainingConfig(labels=[CELLS], networks={"lstm": {"hidden": 8}, "dnn": {}})
    assert list(config.networks.chosen) == ["dnn", "lstm"]
    assert config.networks.lstm is not None
    assert config.networks.lstm.hidden == 8


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"networks": {}}, "no network is named"),
        ({"labels": [CELLS, CELLS]}, "stands twice"),
        ({"labels": [{"kind": "guess", "source": "a"}]}, "cell_mean"),
        ({"labels": [{"kind": "gridded", "source": "a"}]}, "names the source's variable for each layer"),
        ({"labels": [CELLS | {"variables": {"sm": "b"}}]}, "the others name none"),
        ({"labels": [CELLS | {"resolutions": [30]}]}, "where no training is"),
        ({"folds": 3, "fold": 3}, "they count from 0"),
        ({"learning_rat": 1}, "learning_rat"),
        ({"validation_fraction": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_used_is_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        TrainingConfig(**({"labels": [CELLS]} | wrong))


def test_samples_kept_shrink_with_the_pixel_and_can_be_set():
    config = TrainingConfig(labels=[CELLS], samples_per_resolution={100: 7})
    assert config.samples_at(1000, 9) == 2500
    assert config.samples_at(50, 180) == 24 * 60_000 // 180**2
    assert config.samples_at(30, 1200) == 16
    assert config.samples_at(100, 90) == 7

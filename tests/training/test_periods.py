"""Days: what validates comes last, and no rain is seen by both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.errors import ConfigError
from smdown.training.periods import part_days


def days_from(gaps):
    return tuple(str(d) for d in np.datetime64("2020-01-01") + np.cumsum(gaps))


@given(
    st.lists(st.integers(1, 9), min_size=8, max_size=120), st.floats(0.05, 0.6), st.integers(1, 30), st.integers(0, 40)
)
def test_no_day_of_weather_is_seen_by_training_and_by_what_is_held_out(gaps, fraction, seen, more):
    days = days_from(gaps)
    time = np.array(days, dtype="datetime64[D]")
    try:
        period = part_days(days, fraction, seen + more, seen)
    except ConfigError:
        return
    assert period.validation[-1]
    training = {t - k for t in time[period.training] for k in range(seen)}
    held = {t - k for t in time[period.validation] for k in range(seen)}
    assert not training & held
    assert (time[period.validation].min() - time[period.training].max()).astype(int) >= seen + more


def test_the_share_held_out_is_the_last_of_the_period():
    period = part_days(days_from([1] * 100), 0.2, None, 10)
    assert np.flatnonzero(period.validation).tolist() == list(range(80, 100))
    assert np.flatnonzero(period.training).tolist() == list(range(71))


def test_without_a_hold_out_every_day_is_both():
    period = part_days(days_from([1] * 5), 0.0, None, 30)
    assert period.training.all()
    assert period.validation.all()


def test_an_embargo_that_lets_rain_through_is_refused():
    with pytest.raises(ConfigError, match="set embargo_days to 30"):
        part_days(days_from([1] * 100), 0.2, 29, 30)
    with pytest.raises(ConfigError, match="got no day to train on"):
        part_days(days_from([1] * 40), 0.5, None, 30)

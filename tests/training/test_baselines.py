"""Baselines: the same samples as the networks, stored without code, with skill where there is something to learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from smdown.errors import BundleError, ConfigError
from smdown.grid import EASE2_M09, NestedGrid
from smdown.training import Baselines, TrainingConfig
from smdown.training.baselines import complete, fit_baselines, train_baselines
from smdown.training.collect import collect
from smdown.training.rows import rows_of
from tests.training.runs import CELLS, STATIONS, quick, run

LABELS = ([CELLS, STATIONS], [CELLS], [{"kind": "cubic", "source": "smap"}, STATIONS], [STATIONS])


def collected(region, config, **changes):
    context = dataclasses.replace(region.context(""), **changes)
    return collect(config, context, region, region.station_data(), 0, lambda *_: None), context


def within_cell(region, baselines, kind, day=20):
    """Return the correlation of anomalies from the cell mean with the truth, by layer."""
    grid = NestedGrid(EASE2_M09, region.cells, region.base)
    rows = baselines.standardised(region.load(grid, grid.window, region.times[day]))
    n, r = region.n, region.base

    def anomaly(field):
        blocks = field.reshape(n, r, n, r)
        return (blocks - blocks.mean(axis=(1, 3), keepdims=True)).ravel()

    truth = region.truth[:, day, r:-r, r:-r]
    fields = [baselines.predict(kind, layer, rows) for layer in ("sm_surface", "sm_rootzone")]
    return [np.corrcoef(anomaly(f), anomaly(t))[0, 1] for f, t in zip(fields, truth, strict=True)]


def test_they_learn_the_pattern_inside_the_cells(region):
    many = type(region)(stations=80)
    config = quick(resolutions=[1000, 500], max_days=12)
    baselines = fit_baselines(config, *reversed(collected(many, config)))
    assert baselines.kinds == ("linear", "gradient_boosting")
    for kind in baselines.kinds:
        assert min(within_cell(many, baselines, kind)) > 0.5
        assert all(0 < std < 0.1 for std in baselines.std[kind].values())


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: "+".join(label["kind"] for label in labels))
def test_rows_are_those_of_the_samples_and_labels_weigh_as_configured(region, labels):
    labels = [label | {"weight": 1.0 + n} for n, label in enumerate(labels)]
    data, _ = collected(region, quick(labels=labels))
    rows = rows_of(data.training, 0)
    assert rows.weight.mean() == pytest.approx(1, rel=1e-5)
    assert np.isfinite(rows.x).all()
    assert np.isfinite(rows.y).any(axis=1).all()
    if len(labels) == 2:
        share = rows.weight[rows.station].sum() / rows.weight.sum()
        assert share == pytest.approx(2 / 3, rel=1e-5)
    for samples in data.training:
        if samples.label == "cell_mean":
            expected = torch.where(samples.mask[:, None], samples.fine, torch.nan).nanmean(dim=(2, 3)).numpy()
            np.testing.assert_allclose(rows.x[: len(samples)], expected, atol=1e-5)
            np.testing.assert_array_equal(rows.y[: len(samples)], samples.target.numpy())


def test_held_out_rows_choose_but_are_not_fitted_to(region):
    config = quick()
    data, context = collected(region, config)
    train, held = rows_of(data.training, 0), rows_of(data.validation, 1)
    assert not {tuple(row) for row in train.x.tolist()} & {tuple(row) for row in held.x.tolist()}
    one = fit_baselines(config, context, data)
    one_penalty = one.settings["linear"]["sm_surface"]["penalty"]
    scaled = [dataclasses.replace(s, target=s.target * 1.01) for s in data.validation]
    other = fit_baselines(config, context, dataclasses.replace(data, held=lambda: scaled))
    if other.settings["linear"]["sm_surface"]["penalty"] == one_penalty:
        model, again = (b.models["linear"]["sm_surface"] for b in (one, other))
        np.testing.assert_array_equal(model.coefficient, again.coefficient)
    assert (
        one.settings["linear"]["sm_surface"]["held_out_mse"] != other.settings["linear"]["sm_surface"]["held_out_mse"]
    )


def test_a_line_is_found(region):
    """Where layers are linear in the drivers, cell means tell the relation inside the cells exactly."""
    data, context = collected(region, quick(labels=[CELLS]))
    coefficient = np.linspace(-1, 1, data.training[0].fine.shape[1], dtype=np.float32)

    def lined(samples):
        x = samples.fine.mean(dim=(2, 3)) @ torch.from_numpy(coefficient)
        return dataclasses.replace(samples, target=torch.stack([x, 2 * x], dim=1))

    made = dataclasses.replace(data, training=[lined(s) for s in data.training], held=lambda: held)
    held = [lined(s) for s in data.validation]
    baselines = fit_baselines(quick(labels=[CELLS]), context, made)
    x = np.random.default_rng(0).standard_normal((50, len(coefficient))).astype(np.float32)
    found = [baselines.models["linear"][layer].predict(x) for layer in ("sm_surface", "sm_rootzone")]
    assert np.abs(found[0] - x @ coefficient).max() < 0.05 * np.abs(x @ coefficient).max()
    np.testing.assert_allclose(found[1], 2 * found[0], atol=1e-3)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_trees_say_what_scikit_learn_says_at_their_own_thresholds_too(depth):
    rng = np.random.default_rng(depth)
    x = np.round(rng.standard_normal((800, 4)), 1).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2])
    model = HistGradientBoostingRegressor(max_depth=depth, max_leaf_nodes=None, max_iter=30, early_stopping=False)
    found = complete(model.fit(x, y), 30, depth, x)
    np.testing.assert_allclose(found.predict(x), model.predict(x), atol=1e-5)
    short = complete(model, 7, depth, x)
    np.testing.assert_allclose(short.predict(x), [*model.staged_predict(x)][6], atol=1e-5)


def test_trees_that_are_kept_otherwise_are_noticed():
    x = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    model = HistGradientBoostingRegressor(max_depth=2, max_iter=5, early_stopping=False).fit(x, x[:, 0])
    model._predictors[0][0].nodes["value"] *= 2
    honest = HistGradientBoostingRegressor(max_depth=2, max_iter=5, early_stopping=False).fit(x, x[:, 0])
    model.staged_predict = honest.staged_predict
    with pytest.raises(RuntimeError, match="not understood"):
        complete(model, 5, 2, x)


def test_what_is_read_is_what_was_written_and_later_fitting_gives_the_same(region, tmp_path):
    run(region, tmp_path / "a", baselines=True)
    first = Baselines.load(str(tmp_path / "a"))
    assert {f.suffix for f in (tmp_path / "a").glob("baselines.*")} == {".json", ".safetensors"}
    run(region, tmp_path / "b")
    with pytest.raises(BundleError, match="no baselines"):
        Baselines.load(str(tmp_path / "b"))
    context = region.context(str(tmp_path / "b"))
    later = train_baselines(quick(), context, loader=region, stations=region.station_data())
    again = Baselines.load(str(tmp_path / "b"))
    fine = np.random.default_rng(0).standard_normal((len(first.drivers), 6, 5)).astype(np.float32) * 3 + 10
    fine[0, 0, 0] = np.nan
    for kind in first.kinds:
        for layer in first.target_std:
            values = [b.predict(kind, layer, b.standardised(fine)) for b in (first, later, again)]
            np.testing.assert_array_equal(values[0], values[1])
            np.testing.assert_array_equal(values[0], values[2])
    assert again.settings == first.settings


def test_damaged_files_and_a_missing_library_are_one_clear_line(region, tmp_path, monkeypatch):
    run(region, tmp_path, baselines=True)
    (tmp_path / "baselines.safetensors").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="cannot be read"):
        Baselines.load(str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"smdown\[baselines\]"):
        train_baselines(TrainingConfig(labels=[CELLS]), region.context(str(tmp_path)), loader=region)

"""Nothing leaks: shuffled labels teach nothing, no label is an input, no cell has two roles in any fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.config import load_config
from smdown.errors import ConfigError
from smdown.grid import EASE2_M09, NestedGrid
from smdown.training import Baselines, Predictor, combine
from smdown.training.splits import split
from tests.training.runs import CELLS, run

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


def shuffled(region):
    """Return a region whose labels are those of other cells on other days, and its stations' likewise."""
    rng = np.random.default_rng(3)
    places = rng.permutation(region.days * region.n**2).reshape(region.days, region.n, region.n)

    class Shuffled(type(region)):
        def coarse(self, source, variable, cells, day):
            honest = super().coarse
            field = honest(source, variable, cells, day)
            for row, col in np.argwhere(np.isfinite(field)):
                y, x = cells.y0 + row - self.cells.y0, cells.x0 + col - self.cells.x0
                d, r, c = np.unravel_index(places[self._day(day), y, x], places.shape)
                field[row, col] = honest(source, variable, self.cells, self.times[d])[r, c]
            return field

        def station_data(self):
            data = super().station_data()
            for name in ("sm_surface", "sm_rootzone"):
                values = data[name].values
                data[name] = (data[name].dims, rng.permutation(values.ravel()).reshape(values.shape))
            return data

    return Shuffled(n=region.n, days=region.days, base=region.base, seed=region.seed, stations=region.stations)


def anomaly(field, n, r):
    blocks = field.reshape(n, r, n, r)
    return (blocks - blocks.mean(axis=(1, 3), keepdims=True)).ravel()


def skill_within_cells(region, out, bundle):
    """Return the mean correlation inside the cells over layers and some days, of every model."""
    grid, at_work = NestedGrid(EASE2_M09, region.cells, region.base), Predictor(bundle, device="cpu")
    baselines, first = Baselines.load(str(out)), region.cells.refine(9).expand(1)
    n, r = region.n, region.base
    found: dict[str, list[float]] = {}
    for day in (5, 15, 25):
        time = region.times[day]
        fine = region.load(grid, grid.window.expand(at_work.radius), time)
        said = at_work.predict(fine, region.sequence(region.cells, time), grid.window, r, (first.y0, first.x0))
        fields = dict(zip(said.members, said.mean, strict=True))
        fields["ensemble"], _ = combine(said, bundle.card.weights, bundle.card.variance_scale)
        rows = baselines.standardised(region.load(grid, grid.window, time))
        for kind in baselines.kinds:
            values = [baselines.predict(kind, y, rows).reshape(n * r, n * r) for y in ("sm_surface", "sm_rootzone")]
            fields[kind] = np.stack(values)
        truth = region.truth[:, day, r:-r, r:-r]
        for name, field in fields.items():
            pairs = [(anomaly(f, n, r), anomaly(t, n, r)) for f, t in zip(field, truth, strict=True)]
            found.setdefault(name, []).extend(np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 0)
    return {name: float(np.mean(values)) if values else 0.0 for name, values in found.items()}


def test_shuffled_labels_give_no_skill_at_held_out_blocks_nor_inside_cells(region, tmp_path):
    changes = {"epochs": 8, "max_days": 20, "resolutions": [500]}
    region = type(region)(stations=60)
    kept = run(region, tmp_path / "kept", baselines=True, **changes)
    lost = run(shuffled(region), tmp_path / "lost", baselines=True, **changes)
    honest, empty = (
        {
            (label, member): np.mean([b.card.metrics[layer][label][member]["r"] for layer in b.card.weights])
            for label in ("cell_mean", "stations")
            for member in ("dnn", "lstm", "ensemble")
        }
        for b in (kept, lost)
    )
    for key, r in empty.items():
        assert abs(r) < 0.15 < 0.2 < honest[key], key
    honest, empty = (skill_within_cells(region, tmp_path / n, b) for n, b in (("kept", kept), ("lost", lost)))
    for name, r in empty.items():
        assert r < 0.2 < 0.45 < honest[name], name


@pytest.mark.parametrize(
    "override",
    [
        "features.drivers.0.source=smap",
        "features.sequence.drivers.0.source=smap",
        "features.drivers.1.source=stations",
        "features.drivers.13.source=smap",
    ],
)
def test_a_project_whose_label_is_an_input_is_refused(override):
    variable = override.replace("source=smap", "variable=sm_surface").replace("source=stations", "variable=sm_surface")
    with pytest.raises(ConfigError, match="as a label and as a driver"):
        load_config(DEMO, [override, variable])


def test_what_is_no_label_may_be_an_input():
    only = ["training.labels=[{kind: stations, source: stations}]", "features.drivers.0.source=smap"]
    config = load_config(DEMO, [*only, "features.drivers.0.variable=sm_surface"])
    assert "smap" in config.features.source_names
    assert CELLS["source"] == "smap"


@settings(deadline=None)
@given(
    st.integers(2, 9),
    st.integers(2, 9),
    st.integers(1, 4),
    st.integers(2, 5),
    st.integers(0, 30),
    st.integers(0, 2**31),
)
def test_folds_share_no_cell_and_stations_of_a_cell_share_their_fold(height, width, block, folds, count, seed):
    rng = np.random.default_rng(seed)
    cells = np.stack(np.meshgrid(np.arange(height) + 7, np.arange(width) + 3, indexing="ij"), axis=-1).reshape(-1, 2)
    stations = cells[rng.integers(0, len(cells), count)] if count else np.empty((0, 2), np.int64)

    def roles(fold):
        return split(
            cells, stations, block=block, validation=0.2, held_out=0.5, rng=np.random.default_rng(seed), folds=folds,
            fold=fold,
        )  # fmt: skip

    try:
        found = [roles(fold) for fold in range(folds)]
    except ConfigError:
        return  # fewer blocks than folds
    times = np.sum([f.validation_cell for f in found], axis=0)
    assert (times == 1).all()  # each cell validates in one fold, and trains in all others
    if count:
        assert (np.sum([f.held_out for f in found], axis=0) == 1).all()
    for f in found:
        roles_of = np.stack([f.held_out, f.validation_station, ~f.held_out & ~f.validation_station])
        assert (roles_of.sum(axis=0) == 1).all()
        owners = [{tuple(c) for c in stations[role].tolist()} for role in roles_of]
        assert not owners[0] & owners[2]
        assert not owners[1] & owners[2]
        trained = {tuple(c) for c in cells[~f.validation_cell].tolist()}
        assert not owners[1] & trained

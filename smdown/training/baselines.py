"""What a user would otherwise pick, fitted to the very samples that the networks are: a line, and boosted trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from smdown.training.collect import Collected, collect
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, Progress, TrainContext
from smdown.training.extras import check_baselines
from smdown.training.linear import fit_ridge
from smdown.training.opening import open_loader, stations_of
from smdown.training.rows import Rows, rows_of
from smdown.training.tabular import Baselines, Boosted, Linear

Array = npt.NDArray[np.float32]
Fitted = tuple[Linear | Boosted, dict[str, float]]
DEPTHS, COLUMNS = (2, 3, 4), (0.5, 1.0)
"""Depths of a tree, and shares of the drivers that a split may choose from, that are tried."""
LEARNING_RATE, MOST_TREES, PATIENCE = 0.05, 600, 50
_TOLERANCE = 1e-4


def fit_baselines(config: TrainingConfig, context: TrainContext, data: Collected) -> Baselines:
    """Fit a ridge regression and gradient boosting of every layer, and choose their settings on the held-out blocks.

    Rows, weights and roles are those of the networks (see `smdown.training.rows`). Settings are chosen, and boosting
    is stopped, by the weighted squared error on the rows of the held-out blocks, which are not fitted to.

    Parameters
    ----------
    config, context, data
        As the networks were trained with.

    Returns
    -------
    Baselines
        Its `std` is the error at held-out stations, or else on all held-out rows, less the coarse product's own, which
        the map adds.
    """
    check_baselines()
    seed = config.seed if context.seed is None else context.seed
    train, held = rows_of(data.training, seed), rows_of(data.validation, seed + 1)
    centre, scale = data.target.mean.numpy(), data.target.std.numpy()
    models: dict[str, dict[str, Linear | Boosted]] = {"linear": {}, "gradient_boosting": {}}
    settings: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in models}
    std: dict[str, dict[str, float]] = {kind: {} for kind in models}
    for n, layer in enumerate(context.layers):
        for kind, fit in (("linear", _ridge), ("gradient_boosting", _boosting)):
            model, settings[kind][layer.name] = fit(train, held, n, seed)
            models[kind][layer.name] = model
            std[kind][layer.name] = _own_error(_mse(model, held, n) * float(scale[n]) ** 2, layer.uncertainty)
    names = [layer.name for layer in context.layers]
    return Baselines(
        models, tuple(context.spec.names), data.fine.mean.numpy(), data.fine.std.numpy(),
        dict(zip(names, centre.tolist(), strict=True)), dict(zip(names, scale.tolist(), strict=True)), std, settings,
    )  # fmt: skip


def train_baselines(
    config: TrainingConfig,
    context: TrainContext,
    progress: Progress | None = None,
    *,
    loader: DriverLoader | None = None,
    stations: xr.Dataset | None = None,
) -> Baselines:
    """Read the samples anew, fit, and write the baselines into the bundle's folder.

    For a bundle that was trained without them: the samples follow from configuration and seed, so they are the same.
    """
    check_baselines()
    tell = progress or (lambda _name, _done, _total: None)
    loader, stations = loader or open_loader(context), stations_of(config, context, stations)
    data = collect(config, context, loader, stations, 0, lambda done, total: tell("samples", done, total))
    baselines = fit_baselines(config, context, data)
    baselines.save(str(context.out))
    return baselines


def _ridge(train: Rows, held: Rows, n: int, seed: int) -> Fitted:
    """Fit the penalty that does best on the held-out rows."""
    del seed
    found = fit_ridge(train, held, n)
    return Linear(found.coefficient, found.intercept), {"penalty": found.penalty, "held_out_mse": found.error}


def _boosting(train: Rows, held: Rows, n: int, seed: int) -> Fitted:
    """Fit the depth and share of columns that do best on the held-out rows, each stopped where it did best there."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    x, y, weight = train.of_layer(n)
    held_x, held_y, held_weight = held.of_layer(n)
    best: tuple[float, Boosted, dict[str, float]] | None = None
    with threadpool_limits(1):  # tables are small, and threads that wait for each other are slower than one
        for depth in DEPTHS:
            for columns in COLUMNS:
                found = HistGradientBoostingRegressor(
                    learning_rate=LEARNING_RATE, max_iter=MOST_TREES, max_depth=depth, max_leaf_nodes=None,
                    max_features=columns, l2_regularization=1.0, early_stopping=True, n_iter_no_change=PATIENCE, tol=0,
                    random_state=seed % 2**32,
                ).fit(x, y, weight, X_val=held_x, y_val=held_y, sample_weight_val=held_weight)  # fmt: skip
                trees = max(1, int(np.argmax(found.validation_score_)))
                model = complete(found, trees, depth, x)
                error = _error(model, held, n)
                if best is None or error < best[0]:
                    best = error, model, {"depth": depth, "columns": columns, "trees": trees, "held_out_mse": error}
    assert best is not None
    return best[1], best[2]


def complete(found: Any, trees: int, depth: int, x: Array) -> Boosted:
    """Return the first trees of a scikit-learn model as complete trees, and make sure that they say the same.

    Raises
    ------
    RuntimeError
        If they do not: this version of scikit-learn keeps its trees in another way.
    """
    inner = 2**depth - 1
    feature = np.zeros((trees, inner), dtype=np.int32)
    threshold = np.full((trees, inner), np.inf, dtype=np.float32)
    leaf = np.zeros((trees, inner + 1), dtype=np.float32)
    for t in range(trees):
        _spread_out(found._predictors[t][0].nodes, 0, 0, depth, feature[t], threshold[t], leaf[t])  # noqa: SLF001
    model = Boosted(feature, threshold, leaf, float(np.ravel(found._baseline_prediction)[0]))  # noqa: SLF001
    some = x[:: max(1, len(x) // 500)]
    expected = next(p for n, p in enumerate(found.staged_predict(some), 1) if n == trees)
    if not np.allclose(model.predict(some), expected, atol=_TOLERANCE):
        raise RuntimeError("trees of scikit-learn were not understood; use a version that pyproject.toml allows")
    return model


def _spread_out(
    nodes: Any, at: int, place: int, depth: int, feature: npt.NDArray[np.int32], threshold: Array, leaf: Array
) -> None:
    """Write the node `at` and all below it to `place`; a leaf that comes early stands for all places below it."""
    node = nodes[at]
    if depth == 0:
        leaf[place - len(feature)] = node["value"]
    elif node["is_leaf"]:
        for child in (2 * place + 1, 2 * place + 2):
            _spread_out(nodes, at, child, depth - 1, feature, threshold, leaf)
    else:
        feature[place] = node["feature_idx"]
        threshold[place] = _not_above(float(node["num_threshold"]))
        _spread_out(nodes, int(node["left"]), 2 * place + 1, depth - 1, feature, threshold, leaf)
        _spread_out(nodes, int(node["right"]), 2 * place + 2, depth - 1, feature, threshold, leaf)


def _not_above(value: float) -> np.float32:
    """Return the largest float32 that is not above a value: float32 numbers compare with both alike."""
    rounded = np.float32(value)
    return rounded if float(rounded) <= value else np.nextafter(rounded, np.float32(-np.inf))


def _error(model: Linear | Boosted, held: Rows, n: int) -> float:
    x, y, weight = held.of_layer(n)
    return float(np.average((model.predict(x) - y) ** 2, weights=weight)) if len(y) else float("inf")


def _mse(model: Linear | Boosted, held: Rows, n: int) -> float:
    """Return the mean squared error at held-out stations, or else on all held-out rows."""
    known = np.isfinite(held.y[:, n])
    rows = known & held.station if (known & held.station).any() else known
    return float(np.mean((model.predict(held.x[rows]) - held.y[rows, n]) ** 2)) if rows.any() else 1.0


def _own_error(mse: float, uncertainty: float) -> float:
    """Return the standard deviation that, with the coarse product's own, makes the error; half of it at least."""
    return float(np.sqrt(max(mse - uncertainty**2, mse / 4)))

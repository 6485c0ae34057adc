"""What networks say of the samples that they were trained on: whether they ever learnt to state their error."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from smdown.networks import Network
from smdown.networks.base import crop
from smdown.training.groups import Group, SampleSet
from smdown.training.heldout import flat, known_target
from smdown.training.loss import cell_moments
from smdown.training.stacking import mixture
from smdown.training.stream import Streamed

Array = npt.NDArray[np.float64]
PIXELS = 2**20
"""Pixels of one label and resolution that are looked at, at most."""
_BATCH_PIXELS = 200_000


class TrainingSay:
    """What the training says of the variance that networks state.

    Parameters
    ----------
    networks : dict
        By name.
    sets : list of SampleSet or Streamed
        What they were trained on.
    seed : int
        Which samples are looked at, where there are many.
    """

    def __init__(self, networks: dict[str, Network], sets: list[SampleSet | Streamed], seed: int) -> None:
        self._networks, self._sets, self._seed = list(networks.values()), sets, seed
        self._known: dict[str, tuple[Array, Array]] = {}

    def scale(self, layer: int, label: str, share: Array) -> float:
        """Return the mean squared error over the mean stated variance of a mixture; 1 where no sample tells.

        It is near 1 for networks that learnt their variance, and tells of those that stopped before they could.

        Parameters
        ----------
        layer : int
            Number of the layer.
        label : str
            Whose samples.
        share : ndarray
            ``(network,)``: weights of the mixture.
        """
        if label not in self._known:
            self._known[label] = self._look(label)
        errors, variance = self._known[label]
        known = np.isfinite(errors[:, :, layer]).all(axis=0) if errors.size else np.zeros(0, dtype=bool)
        if not known.any():
            return 1.0
        mean, mixed = mixture(errors[:, known, layer], variance[:, known, layer], share[:, None])
        return float((np.asarray(mean) ** 2).mean() / max(float(np.asarray(mixed).mean()), 1e-12))

    @torch.inference_mode()
    def _look(self, label: str) -> tuple[Array, Array]:
        """Return errors and stated variances, ``(network, n, layer)``, standardised; NaN where a layer is missing."""
        errors, variances = [np.zeros((len(self._networks), 0, 0))], []
        for group in (g for samples in self._sets if samples.label == label for g in _some(samples, self._seed)):
            said = [_said(network, group) for network in self._networks]
            truth = flat(known_target(group))
            errors.append(np.stack([flat(mean) - truth for mean, _ in said]))
            variances.append(np.stack([flat(log_variance.exp()) for _, log_variance in said]))
        if not variances:
            return errors[0], errors[0]
        return np.concatenate(errors[1:], axis=1), np.concatenate(variances, axis=1)


def _said(network: Network, group: Group) -> tuple[torch.Tensor, torch.Tensor]:
    mean, log_variance = network(crop(group.fine, group.radius - network.radius), group.sequence, group.place)
    return cell_moments(mean, log_variance, group.mask) if group.label == "cell_mean" else (mean, log_variance)


def _some(samples: SampleSet | Streamed, seed: int) -> Iterator[Group]:
    if not len(samples):
        return
    count = min(len(samples), max(1, PIXELS // samples.pixels))
    if isinstance(samples, SampleSet):
        chosen = np.random.default_rng(seed).permutation(len(samples))[:count]
        yield from samples.take(torch.from_numpy(chosen)).groups(_BATCH_PIXELS)
        return
    steps = max(1, count * samples.pixels // _BATCH_PIXELS)
    yield from (group for group in samples.draws(0, count, steps, 0, 1) if group is not None)

"""Open a job's loader and trained ensemble, and make sure that they fit each other."""

from __future__ import annotations

import torch

from smdown.features import FeatureSpec, get_loader
from smdown.grid import Window
from smdown.inference.engine import Engine, Field
from smdown.inference.job import PredictJob
from smdown.inference.outline import check_fit, provenance, sequence_of
from smdown.training import Bundle, Prediction, Predictor
from smdown.training.applicability import Applicability
from smdown.training.predictor import Joined, member_std, mixture


class TrainedEnsemble:
    """A bundle's networks and the weights that join them, for the layers of a job.

    Their variance is that of a map that agrees with the coarse product, or of one that does not, as the job has it.
    """

    def __init__(
        self, bundle: Bundle, layers: tuple[str, ...], threads: int, *, constrained: bool = True, keep: bool = True
    ) -> None:
        card = bundle.card
        scales = card.variance_scale if constrained else card.unconstrained_scale or card.variance_scale
        self._member_scales = {y: dict.fromkeys(card.networks, s) for y, s in scales.items()}
        if constrained:
            self._member_scales |= card.member_scale
        self._predictor = Predictor(bundle, threads)
        self._mixture = mixture(card, layers, scales)
        self._layers = layers
        self._keep = keep

    @property
    def radius(self) -> int:
        """Pixels around its core that a window must have."""
        return self._predictor.radius

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the networks."""
        return self._predictor.members

    def predict(self, fine: Field, sequence: Field, core: Window, ratio: int, origin: tuple[int, int]) -> Joined:
        """Predict the pixels of `core`; see :meth:`smdown.training.Predictor.join`."""
        series = sequence if sequence.size else None
        return self._predictor.join(fine, series, core, ratio, origin, self._mixture, keep=self._keep)

    def combine(self, prediction: Joined) -> tuple[Field, Field]:
        """Return mean and standard deviation of the ensemble, each ``(layer, y, x)``."""
        return prediction.mean, prediction.std

    def alone(self, prediction: Joined) -> tuple[Field, Field]:
        """Return mean and standard deviation of every network, ``(member, layer, y, x)``."""
        found = prediction.alone
        assert found is not None
        places = list(self._mixture.places)
        own = Prediction(found.mean[:, places], found.variance[:, places], found.members, self._layers)
        return own.mean, member_std(own, self._member_scales)


def open_engine(job: PredictJob) -> Engine:
    """Open the loader and the bundle of a job.

    Raises
    ------
    BundleError
        If the bundle cannot be read, or was trained with other drivers, layers or units.
    """
    spec: FeatureSpec = job.spec
    bundle = Bundle.load(job.bundle_url)
    check_fit(job, bundle.card)
    sequence = sequence_of(bundle.card)
    return Engine(
        drivers=get_loader(spec),
        ensemble=TrainedEnsemble(
            bundle,
            tuple(layer.name for layer in job.layers),
            job.threads,
            constrained=job.constraint != "none",
            keep=job.members_url is not None,
        ),
        names=tuple(spec.names),
        static_names=tuple(spec.static_names),
        dynamic_names=tuple(spec.dynamic_names),
        required=tuple(driver.required for driver in spec.drivers),
        sequence_ratio=sequence.ratio if sequence else 0,
        sequence_shape=(sequence.days, len(sequence.drivers)) if sequence else (0, 0),
        applicability=_applicability(bundle),
        provenance=provenance(job, bundle.card, bundle.digest),
    )


def _applicability(bundle: Bundle) -> Applicability | None:
    card, drivers = bundle.card.applicability, bundle.card.drivers
    if card is None:
        return None
    mean, std = (torch.tensor([getattr(d, key) for d in drivers], dtype=torch.float32) for key in ("mean", "std"))
    return Applicability(card, mean, std)

"""Measures of the uncertainty of predictions, for the scripts of tasks. They need numpy.

Predictions of a classification are probabilities: an array of draws x samples x classes. Those of a regression are
values: draws x samples. Each measure gives one number for each sample.

Formulas: predictive entropy, mutual information (BALD) and variation ratio as in Y. Gal, "Uncertainty in Deep
Learning", PhD thesis, Cambridge 2016, section 3.3.1; margin as in T. Scheffer et al., "Active Hidden Markov Models for
Information Extraction", 2001. Logarithms are natural, and of p + 1e-8, so that a probability of 0 counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.floating[Any]]

Measure = TypeVar("Measure", bound=Callable[..., Any])

UQ_REGISTRY: dict[str, Callable[..., Any]] = {}
"""The measures by name."""

_TINY = 1e-8
_LIKELIHOOD = "negative_log_likelihood"
_DIMENSIONS = {"classification": 3, "regression": 2}


def register_uq(name: str) -> Callable[[Measure], Measure]:
    """Make a function a measure: it gets the scorer and the predictions, and returns a number for each sample."""

    def decorate(function: Measure) -> Measure:
        UQ_REGISTRY[name] = function
        return function

    return decorate


class UQScorer:
    """The measures for one kind of task: `classification` or `regression`."""

    def __init__(self, task_type: str) -> None:
        if task_type not in _DIMENSIONS:
            message = f"task_type is '{task_type}': choose classification or regression"
            raise ValueError(message)
        self.task_type = task_type

    def compute_uncertainty(self, mc_preds: ArrayLike, y_true: ArrayLike | None = None) -> dict[str, Any]:
        """All measures that apply, by name; for one that does not, the reason."""
        found: dict[str, Any] = {}
        for name, measure in UQ_REGISTRY.items():
            if name == _LIKELIHOOD and y_true is None:
                continue
            try:
                found[name] = measure(self, mc_preds, y_true) if name == _LIKELIHOOD else measure(self, mc_preds)
            except Exception as error:
                found[name] = f"Error: {error}"
        return found

    def select_top_uncertain(
        self, mc_preds: ArrayLike, k: int = 10, metric: str | None = None, y_true: ArrayLike | None = None
    ) -> tuple[Any, Any]:
        """The positions of the `k` samples with the highest values of a measure, and these values, from the highest."""
        import numpy as np

        metric = metric or ("predictive_entropy" if self.task_type == "classification" else "predictive_variance")
        if metric not in UQ_REGISTRY:
            message = f"there is no measure '{metric}': choose from {', '.join(UQ_REGISTRY)}"
            raise ValueError(message)
        measure = UQ_REGISTRY[metric]
        scores = np.asarray(measure(self, mc_preds, y_true) if metric == _LIKELIHOOD else measure(self, mc_preds))
        top = np.argsort(-scores, kind="stable")[:k]
        return top, scores[top]

    def validated(self, mc_preds: ArrayLike, y_true: ArrayLike | None = None) -> tuple[Any, Any]:
        """Both as arrays. Raises ValueError if their dimensions do not fit the kind of task."""
        import numpy as np

        wanted = _DIMENSIONS[self.task_type]
        found = np.asarray(mc_preds)
        if found.ndim != wanted:
            found = np.squeeze(found)
        if found.ndim != wanted:
            axes = "draws x samples x classes" if wanted == 3 else "draws x samples"
            message = f"predictions of a {self.task_type} have {axes}, not the shape {found.shape}"
            raise ValueError(message)
        return found, None if y_true is None else np.asarray(y_true)

    _validate_inputs = validated
    """Its name in upstream's examples."""

    def mean(self, mc_preds: ArrayLike) -> Array:
        """The mean of the draws."""
        found: Array = self.validated(mc_preds)[0].mean(axis=0)
        return found


def _entropy(probabilities: Any, axis: int) -> Any:
    import numpy as np

    return -(probabilities * np.log(probabilities + _TINY)).sum(axis=axis)


@register_uq("predictive_entropy")
def predictive_entropy(scorer: UQScorer, mc_preds: ArrayLike) -> Any:
    """The entropy of the mean prediction."""
    return _entropy(scorer.mean(mc_preds), 1)


@register_uq("mutual_information")
def mutual_information(scorer: UQScorer, mc_preds: ArrayLike) -> Any:
    """The entropy of the mean prediction, less the mean entropy of the predictions."""
    predictions, _ = scorer.validated(mc_preds)
    return _entropy(predictions.mean(axis=0), 1) - _entropy(predictions, 2).mean(axis=0)


@register_uq("variation_ratio")
def variation_ratio(scorer: UQScorer, mc_preds: ArrayLike) -> Any:
    """The share of the draws that do not vote for the most frequent class."""
    import numpy as np

    predictions, _ = scorer.validated(mc_preds)
    votes = predictions.argmax(axis=2)
    counts = np.stack([(votes == each).sum(axis=0) for each in range(predictions.shape[2])])
    return 1.0 - counts.max(axis=0) / votes.shape[0]


@register_uq("margin")
def margin(scorer: UQScorer, mc_preds: ArrayLike) -> Any:
    """The difference between the two most probable classes. A small one is uncertain."""
    import numpy as np

    ordered = np.sort(scorer.mean(mc_preds), axis=1)
    return ordered[:, -1] - ordered[:, -2]


@register_uq("predictive_variance")
def predictive_variance(scorer: UQScorer, mc_preds: ArrayLike) -> Any:
    """The variance of the draws."""
    return scorer.validated(mc_preds)[0].var(axis=0).squeeze()


@register_uq("predictive_interval_width")
def predictive_interval_width(scorer: UQScorer, mc_preds: ArrayLike, quantile: float = 0.95) -> Any:
    """The width of the interval that holds this share of the draws."""
    import numpy as np

    predictions, _ = scorer.validated(mc_preds)
    low, high = np.percentile(predictions, [50 * (1 - quantile), 50 * (1 + quantile)], axis=0)
    return (high - low).squeeze()


@register_uq(_LIKELIHOOD)
def negative_log_likelihood(scorer: UQScorer, mc_preds: ArrayLike, y_true: ArrayLike) -> Any:
    """Of the true classes under the mean prediction, or of the true values under a normal distribution of the draws."""
    import numpy as np

    predictions, truth = scorer.validated(mc_preds, y_true)
    mean = predictions.mean(axis=0)
    if scorer.task_type == "classification":
        return -np.log(mean[np.arange(len(truth)), truth] + _TINY)
    variance = predictions.var(axis=0) + _TINY
    return 0.5 * (np.log(2 * np.pi * variance) + (truth - mean) ** 2 / variance)

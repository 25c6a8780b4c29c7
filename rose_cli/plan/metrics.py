"""The standard metrics with their operators and ranges.

Source of the long names and their operators: `rose/metrics.py` of upstream ROSE 0.3 (class `LearningMetrics`), whose
`=` no metric uses. Short forms take the operator of the long name that they stand for; `r2`, `rmse`, `mae` and the
like follow the field's convention (errors fall, scores rise).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import nearest

if TYPE_CHECKING:
    from rose_cli.config.rules import Operator


@dataclass(frozen=True)
class StandardMetric:
    """A metric with its standard operator and the range of its values."""

    operator: Operator
    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def is_share(self) -> bool:
        return (self.lowest, self.highest) == (0.0, 1.0)

    @property
    def range_text(self) -> str:
        if math.isinf(self.highest):
            return f"is never below {self.lowest:g}"
        if math.isinf(self.lowest):
            return f"is never above {self.highest:g}"
        return f"is between {self.lowest:g} and {self.highest:g}"


_FALLS = StandardMetric("<")
_RISES = StandardMetric(">")
_ERROR = StandardMetric("<", lowest=0.0)
_SHARE = StandardMetric(">", lowest=0.0, highest=1.0)

STANDARD_METRICS: dict[str, StandardMetric] = {
    # uncertainty, as upstream
    "custom_uq": _FALLS,
    "predictive_entropy": _ERROR,
    "mutual_information": _ERROR,
    "variation_ratio": _ERROR,
    "margin": _FALLS,
    "predictive_variance": _ERROR,
    "predictive_interval_width": _ERROR,
    "negative_log_likelihood": _FALLS,
    # learning, as upstream
    "model_accuracy": StandardMetric(">=", lowest=0.0, highest=1.0),
    "query_efficiency": _RISES,
    "labeling_cost": _ERROR,
    "diversity_of_selected_samples": _RISES,
    "uncertainty": _FALLS,
    "query_reduction": _RISES,
    "area_under_learning_curve_auc": _RISES,
    "expected_model_improvement_emi": _RISES,
    "sampling_bias": _FALLS,
    "prediction_confidence": _RISES,
    "class_distribution_shift": _FALLS,
    "cumulative_error_reduction": _RISES,
    "query_selection_strategy_performance": _RISES,
    "number_of_iterations": _ERROR,
    "f1_score": _SHARE,
    "precision": _SHARE,
    "recall": _SHARE,
    "information_gain": _RISES,
    "time_to_convergence": _ERROR,
    "model_complexity": _ERROR,
    "data_labeling_redundancy": _FALLS,
    "generalization_error": _FALLS,
    "learning_rate": _ERROR,
    "training_time": _ERROR,
    "confidence_interval_width": _ERROR,
    "overfitting": _FALLS,
    "active_learning_efficiency": _RISES,
    "exploration_vs_exploitation": _RISES,
    "mean_squared_error_mse": _ERROR,
    # short forms
    "accuracy": StandardMetric(">=", lowest=0.0, highest=1.0),
    "auc": _SHARE,
    "balanced_accuracy": StandardMetric(">=", lowest=0.0, highest=1.0),
    "error_rate": _ERROR,
    "f1": _SHARE,
    "loss": _FALLS,
    "mae": _ERROR,
    "mean_absolute_error": _ERROR,
    "mean_squared_error": _ERROR,
    "mse": _ERROR,
    "nll": _FALLS,
    "r2": StandardMetric(">", highest=1.0),
    "r2_score": StandardMetric(">", highest=1.0),
    "rmse": _ERROR,
    "roc_auc": _SHARE,
    "root_mean_squared_error": _ERROR,
}


def standard_metric(name: str) -> StandardMetric | None:
    """The standard metric of that name; case and the kind of dash do not matter."""
    return STANDARD_METRICS.get(_folded(name))


def nearest_metric(name: str) -> str | None:
    """The standard metric that is similar to a misspelt name."""
    return nearest(_folded(name), STANDARD_METRICS, ratio=0.7)


def probable_metric(name: str) -> str | None:
    """The standard metric that a name most probably means, although the campaign sets an operator for it.

    Short names are always similar to each other (`msle`, `mape`), and `val_accuracy` is a different metric.
    """
    folded = _folded(name)
    near = nearest(folded, STANDARD_METRICS, ratio=0.85)
    return near if near is not None and len(folded) > 5 and near not in folded else None


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def can_be_met(metric: StandardMetric, operator: Operator, threshold: float) -> bool:
    """Whether any value that the metric can take meets `value operator threshold`."""
    low, high = metric.lowest, metric.highest
    match operator:
        case "<":
            return low < threshold
        case "<=":
            return low <= threshold
        case ">":
            return high > threshold
        case ">=":
            return high >= threshold
        case "==":
            return low <= threshold <= high


def is_always_met(metric: StandardMetric, operator: Operator, threshold: float) -> bool:
    """Whether every value that the metric can take meets `value operator threshold`."""
    low, high = metric.lowest, metric.highest
    match operator:
        case "<":
            return high < threshold
        case "<=":
            return high <= threshold
        case ">":
            return low > threshold
        case ">=":
            return low >= threshold
        case "==":
            return False

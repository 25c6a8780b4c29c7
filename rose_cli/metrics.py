"""The names of the standard metrics, and the operators of a stop criterion, as constants for Python campaigns.

    from rose_cli.metrics import MEAN_SQUARED_ERROR_MSE

Names and meanings are those of upstream ROSE's `rose.metrics`, except that `EQUAL_TO_THRESHOLD` is `==`. A campaign
file knows the same names; the operator and the range of each are in `plan/metrics.py`.
"""

from __future__ import annotations

from typing import Final

CUSTOM_UQ: Final = "custom_uq"
PREDICTIVE_ENTROPY: Final = "predictive_entropy"
MUTUAL_INFORMATION: Final = "mutual_information"
VARIATION_RATIO: Final = "variation_ratio"
MARGIN: Final = "margin"
PREDICTIVE_VARIANCE: Final = "predictive_variance"
PREDICTIVE_INTERVAL_WIDTH: Final = "predictive_interval_width"
NEGATIVE_LOG_LIKELIHOOD: Final = "negative_log_likelihood"

MODEL_ACCURACY: Final = "model_accuracy"
QUERY_EFFICIENCY: Final = "query_efficiency"
LABELING_COST: Final = "labeling_cost"
DIVERSITY_OF_SELECTED_SAMPLES: Final = "diversity_of_selected_samples"
UNCERTAINTY: Final = "uncertainty"
QUERY_REDUCTION: Final = "query_reduction"
AREA_UNDER_LEARNING_CURVE_AUC: Final = "area_under_learning_curve_auc"
EXPECTED_MODEL_IMPROVEMENT_EMI: Final = "expected_model_improvement_emi"
SAMPLING_BIAS: Final = "sampling_bias"
PREDICTION_CONFIDENCE: Final = "prediction_confidence"
CLASS_DISTRIBUTION_SHIFT: Final = "class_distribution_shift"
CUMULATIVE_ERROR_REDUCTION: Final = "cumulative_error_reduction"
QUERY_SELECTION_STRATEGY_PERFORMANCE: Final = "query_selection_strategy_performance"
NUMBER_OF_ITERATIONS: Final = "number_of_iterations"
F1_SCORE: Final = "f1_score"
PRECISION: Final = "precision"
RECALL: Final = "recall"
INFORMATION_GAIN: Final = "information_gain"
TIME_TO_CONVERGENCE: Final = "time_to_convergence"
MODEL_COMPLEXITY: Final = "model_complexity"
DATA_LABELING_REDUNDANCY: Final = "data_labeling_redundancy"
GENERALIZATION_ERROR: Final = "generalization_error"
LEARNING_RATE: Final = "learning_rate"
TRAINING_TIME: Final = "training_time"
CONFIDENCE_INTERVAL_WIDTH: Final = "confidence_interval_width"
OVERFITTING: Final = "overfitting"
ACTIVE_LEARNING_EFFICIENCY: Final = "active_learning_efficiency"
EXPLORATION_VS_EXPLOITATION: Final = "exploration_vs_exploitation"
MEAN_SQUARED_ERROR_MSE: Final = "mean_squared_error_mse"

LESS_THAN_THRESHOLD: Final = "<"
GREATER_THAN_THRESHOLD: Final = ">"
EQUAL_TO_THRESHOLD: Final = "=="
LESS_THAN_OR_EQUAL_TO_THRESHOLD: Final = "<="
GREATER_THAN_OR_EQUAL_TO_THRESHOLD: Final = ">="

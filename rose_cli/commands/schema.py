"""`rose schema`: print the JSON Schema of campaign files, for editors."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from rose_cli.config.schema import schema_text
from rose_cli.config.schema_rules import Metric
from rose_cli.plan.metrics import STANDARD_METRICS
from rose_cli.util.errors import ExitCode

if TYPE_CHECKING:
    from rose_cli.plan.metrics import StandardMetric


def schema() -> ExitCode:
    sys.stdout.write(text())
    return ExitCode.OK


def text() -> str:
    """The schema as the text of a file."""
    return schema_text({name: _metric(metric) for name, metric in STANDARD_METRICS.items()})


_MET = {
    "<": "lower is better; met below the threshold",
    ">": "higher is better; met above the threshold",
    ">=": "higher is better; met at or above the threshold",
}


def _metric(metric: StandardMetric) -> Metric:
    bounds = {
        "<": ("exclusiveMinimum", metric.lowest),
        ">": ("exclusiveMaximum", metric.highest),
        ">=": ("maximum", metric.highest),
    }
    keyword, bound = bounds[metric.operator]
    is_bounded = not (math.isinf(metric.lowest) and math.isinf(metric.highest))
    meaning = f"{_MET[metric.operator]}{f'; its value {metric.range_text}' if is_bounded else ''}"
    return Metric(meaning, {} if math.isinf(bound) else {keyword: bound})

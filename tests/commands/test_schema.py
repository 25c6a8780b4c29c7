"""`rose schema`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.config.test_schema import STABLE

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_it_prints_the_schema_and_nothing_else(rose: Rose) -> None:
    called = rose("schema")
    assert (called.code, called.err) == (0, "")
    assert called.out == STABLE.read_text(encoding="utf-8")
    assert json.loads(called.out)["$schema"] == "http://json-schema.org/draft-07/schema#"

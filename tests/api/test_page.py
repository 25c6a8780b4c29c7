"""The page on rose from Python: its examples run, and its names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import rose_cli
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from tests.conftest import Rose

PAGE = (REPOSITORY / "docs" / "python-api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TRAIN = """\
import json, sys
print(json.dumps({"samples": int(sys.argv[2])}))
"""
TEST = """\
import os
print(1 / (2 + int(os.environ["ROSE_ITERATION"])))
"""


def test_the_examples_run_one_after_the_other(rose: Rose) -> None:
    rose.write(re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0])
    rose.write(TRAIN, "train.py")
    rose.write(TEST, "test.py")
    program = "\n".join([*BLOCKS, "import asyncio", "print(asyncio.run(follow()).status.value)"])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=rose.folder, env=rose.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "<Campaign 'campaign': 2 learners, training>" in done.stdout
    assert "large 3 0.2 {'samples': 400} max_iter" in done.stdout
    assert done.stdout.endswith(("done\n", "interrupted\n"))


def test_every_name_of_the_package_on_the_page_exists() -> None:
    for name in set(re.findall(r"rose_cli\.(\w+)", PAGE)):
        assert hasattr(rose_cli, name), name
    for name in re.findall(r"^\| `(\w+Error)` \|", PAGE, re.MULTILINE):
        assert hasattr(rose_cli, name), name

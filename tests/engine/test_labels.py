"""The resource labels of radical.pilot, read without importing it."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.labels import MAX_BYTES, known_labels, labels_in
from tests.check.fixture import HERE

if TYPE_CHECKING:
    from pathlib import Path


def installed() -> bool:
    try:
        return bool(version("radical.pilot"))
    except PackageNotFoundError:
        return False


def test_a_description_is_read_with_its_comments() -> None:
    cluster = labels_in(HERE / "labels")["lab.cluster"]
    assert (cluster.cores_per_node, cluster.gpus_per_node, cluster.memory_mb_per_node) == (56, 4, 192_000)
    assert (cluster.schemas, cluster.mandatory, cluster.forks) == (("local", "ssh", "interactive"), ("project",), False)


def test_what_is_not_said_is_not_known() -> None:
    small = labels_in(HERE / "labels")["lab.small_cluster"]
    assert (small.cores_per_node, small.gpus_per_node, small.mandatory, small.schemas) == (None, None, (), ("local",))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"a": 5, "b": []}', "[" * 100_000, '{"a": {' + " " * MAX_BYTES + "}}", "\0\xff"]
)
def test_what_is_no_description_gives_no_label(tmp_path: Path, text: str) -> None:
    (tmp_path / "resource_odd.json").write_bytes(text.encode("latin-1"))
    assert labels_in(tmp_path) == {}


def test_odd_values_in_a_description_are_not_known(tmp_path: Path) -> None:
    text = (
        '{"a": {"cores_per_node": -1, "gpus_per_node": true, "mem_per_node": "x", "schemas": 5, "mandatory_args": [1]}}'
    )
    (tmp_path / "resource_odd.json").write_text(text, encoding="utf-8")
    label = labels_in(tmp_path)["odd.a"]
    assert (label.cores_per_node, label.gpus_per_node, label.memory_mb_per_node) == (None, None, None)
    assert (label.schemas, label.mandatory, label.forks) == ((), (), False)


def test_a_description_of_the_user_adds_to_the_one_below(tmp_path: Path) -> None:
    """As radical.pilot lays them: what the user does not say stays."""
    (tmp_path / "resource_lab.json").write_text(
        '{"cluster": {"cores_per_node": 8, "schemas": {"tunnel": {}}}, "desk": {"resource_manager": "FORK"}}',
        encoding="utf-8",
    )
    labels = labels_in(HERE / "labels", tmp_path)
    cluster = labels["lab.cluster"]
    assert (cluster.cores_per_node, cluster.gpus_per_node, cluster.mandatory) == (8, 4, ("project",))
    assert set(cluster.schemas) == {"local", "ssh", "interactive", "tunnel"}
    assert labels["lab.desk"].forks


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "resource_odd.json")
    assert labels_in(tmp_path) == {}


@pytest.mark.skipif(not installed() and "CI" not in os.environ, reason="radical.pilot is not installed")
def test_the_installed_labels_and_those_of_the_user_are_known(tmp_path: Path) -> None:
    own = tmp_path / ".radical" / "pilot" / "configs"
    own.mkdir(parents=True)
    (own / "resource_mine.json").write_text('{"desk": {"resource_manager": "FORK"}}', encoding="utf-8")
    labels = known_labels({"HOME": str(tmp_path)})
    assert labels is not None
    assert labels["mine.desk"].forks
    assert labels["local.localhost"].forks
    assert labels["tacc.frontera"].mandatory == ("project",)
    assert not labels["tacc.frontera"].forks
    assert set(known_labels({"RADICAL_CONFIG_USER_DIR": str(tmp_path)}) or ()) == set(labels)

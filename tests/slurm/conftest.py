"""The Slurm of the tests: `slurm`, and `any_slurm` for what has to hold with both trackers of processes.

Each worker of pytest starts its own cluster when a test first asks for one, and ends it at the end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.slurm.cluster import TRACKERS, Cluster, version, why_not
from tests.slurm.keeper import why_no_cgroups, why_not_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    ClusterOf = Callable[[str], Cluster]


@pytest.fixture(scope="session")
def cluster_of() -> Iterator[ClusterOf]:
    """The cluster with a tracker, which is started when it is first asked for."""
    started: dict[str, Cluster] = {}

    def find(tracker: str) -> Cluster:
        if (reason := why_not()) is not None:
            assert os.geteuid() != 0 or not os.environ.get("CI"), reason
            pytest.skip(reason)
        if tracker == "cgroup" and (reason := why_no_cgroups()) is not None:
            pytest.skip(reason)
        if tracker not in started:
            started[tracker] = Cluster.start(tracker=tracker)
        return started[tracker]

    yield find
    for cluster in started.values():
        cluster.stop()


@pytest.fixture
def slurm(cluster_of: ClusterOf, record_property: Callable[[str, object], None]) -> Iterator[Cluster]:
    """A cluster of two nodes with two cores and two GPUs each, on which nothing runs, before and after a test."""
    yield from _lend(cluster_of("linuxproc"), record_property)


@pytest.fixture(params=TRACKERS)
def any_slurm(
    request: pytest.FixtureRequest, cluster_of: ClusterOf, record_property: Callable[[str, object], None]
) -> Iterator[Cluster]:
    """The same with each tracker of processes; `proctrack/cgroup` is skipped where the machine does not allow it."""
    yield from _lend(cluster_of(request.param), record_property)


def _lend(cluster: Cluster, record_property: Callable[[str, object], None]) -> Iterator[Cluster]:
    hosts = "each node a host of its own" if cluster.hosts else f"nodes share this host: {why_not_hosts()}"
    record_property("slurm", f"Slurm {version()}, proctrack/{cluster.tracker}, {hosts}")
    yield cluster
    cluster.restore()

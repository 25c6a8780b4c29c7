"""What each job requests: how options are understood, and what is never passed on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from rose_cli.batch.request import Defaults, JobRequest, RequestOptions, job_request


def request(system: str = "slurm", **options: Any) -> JobRequest:
    found, problems = job_request(RequestOptions(**{"time": "10", **options}), Defaults(), system)
    assert problems == []
    assert found is not None
    return found


def messages(system: str = "slurm", **options: Any) -> list[str]:
    found, problems = job_request(RequestOptions(**{"time": "10", **options}), Defaults(), system)
    assert found is None
    return [problem.message for problem in problems]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90), ("4h", 240), ("1h30m", 90), ("1h 30m", 90), ("2d", 2880), ("90s", 2), ("30min", 30),
        ("4:00:00", 240), ("00:00:30", 1), ("1-12:00:00", 2160), ("1-12", 2160), ("1-12:30", 2190), ("100:00:00", 6000),
    ],
)  # fmt: skip
def test_times(text: str, minutes: int) -> None:
    assert request(time=text).minutes == minutes


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "1:30", "4:00:00:00", "1.5h", "0:00:00", "999999999", "٣"])
def test_times_that_are_not_understood(text: str) -> None:
    assert messages(time=text)[0].startswith("--time does not understand")


@pytest.mark.parametrize(
    ("text", "megabytes"), [("4000", 4000), ("64G", 65536), ("1.5 TB", 1572864), ("512MiB", 512), ("100k", 1)]
)
def test_memory(text: str, megabytes: int) -> None:
    assert request(memory=text).memory_mb == megabytes


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "1e9", "4 P"])
def test_memory_that_is_not_understood(text: str) -> None:
    assert messages(memory=text) == [f"--memory does not understand '{text}'"]


def test_attributes_are_those_of_the_batch_system() -> None:
    texts = ("slurm.qos=a=b", "slurm.requeue", "slurm.--nice=5", "pbs.q=x", "lsf.R=span[hosts=1]", "slurm.qos=c")
    assert request(attributes=texts).attributes == (("qos", "c"), ("requeue", None), ("nice", "5"))
    assert request("pbs_classic", attributes=texts).attributes == (("q", "x"),)
    assert request("lsf", attributes=texts).attributes == (("R", "span[hosts=1]"),)


def test_what_a_line_of_a_script_must_not_contain_is_refused() -> None:
    """It would become commands of the job."""
    assert messages(attributes=("slurm.comment=a\nrm -rf x",)) == ["attribute and constraint must be one line of text"]
    assert messages(constraint="a\nb") == ["attribute and constraint must be one line of text"]
    assert messages(attributes=("slurm.a b=c",)) == ["attribute names have only letters, digits, '-' and '_'"]
    assert messages(queue="a b") == ["queue 'a b' has characters that no batch system accepts in a name"]


@pytest.mark.parametrize(
    ("system", "name"),
    [
        *(("slurm", name) for name in ("job-name", "job-n", "array", "dep", "--output", "wrap", "wait", "uid")),
        ("pbs", "N"), ("pbs_classic", "W"), ("lsf", "J"), ("lsf", "w"),
    ],
)  # fmt: skip
def test_what_rose_sets_itself_is_refused(system: str, name: str) -> None:
    text = f"{system.partition('_')[0]}.{name}=x"
    assert messages(system, attributes=(text,)) == [f"rose itself sets '{name.lstrip('-')}' for the jobs of a run"]


def test_what_psij_would_lose_is_refused() -> None:
    assert messages("pbs", gpus=2) == ["rose cannot request GPUs from PBS Pro"]
    assert messages("lsf", constraint="a") == ["--constraint is an option of Slurm"]
    lost = messages("flux", memory="4G", queue="q", project="p", reservation="r", attributes=("flux.a=b",))
    assert [message.split()[0] for message in lost] == [
        "--memory", "--reservation", "--queue", "--project", "--attribute"
    ]  # fmt: skip


def test_what_is_not_given_stays_as_before_or_as_in_the_campaign_file() -> None:
    before = JobRequest(60, 2, 4, 1, 1000, "debug", "abc", None, None, (("qos", "x"),))
    found, _ = job_request(RequestOptions(nodes=3, attributes=("slurm.nice=1",)), Defaults(request=before), "slurm")
    assert found == JobRequest(60, 3, 4, 1, 1000, "debug", "abc", None, None, (("qos", "x"), ("nice", "1")))
    found, _ = job_request(RequestOptions(), Defaults(minutes=5, nodes=2, queue="q", project="p"), "slurm")
    assert found == JobRequest(5, 2, queue="q", project="p")


def test_a_request_is_read_again_from_a_file() -> None:
    found = JobRequest(60, 2, 4, 1, 1000, "debug", "abc", "res", "a&b", (("qos", "x"), ("requeue", None)))
    assert JobRequest.decode(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize(
    "change",
    [
        {"minutes": "10"}, {"nodes": 0}, {"nodes": True}, {"queue": "$(rm x)"}, {"project": 5}, {"more": 1},
        {"attributes": [["a", "b\n#!"]]}, {"attributes": [["a"]]}, {"attributes": 5}, {"constraint": "a\nb"},
        {"memory_mb": -1}, {"cores": 1.5},
    ],
)  # fmt: skip
def test_a_file_that_anyone_may_have_written_is_no_request(change: dict[str, Any]) -> None:
    assert JobRequest.decode({**asdict(JobRequest(10)), **change}) is None

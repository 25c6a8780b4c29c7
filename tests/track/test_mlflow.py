"""The MLflow tracker on a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from textwrap import dedent
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.conftest import PATIENCE, REPOSITORY, wait_until
from tests.others import other_environment, other_program, other_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("mlflow")


@dataclass(frozen=True)
class Server:
    """A real `mlflow server`, asked through its REST interface."""

    uri: str

    def get(self, path: str, **query: str) -> Any:
        with urlopen(f"{self.uri}/api/2.0/mlflow/{path}?{urlencode(query)}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, **values: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.uri}/api/2.0/mlflow/{path}", json.dumps(values).encode(), headers)
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def runs(self, experiment: str, view: str = "ACTIVE_ONLY") -> dict[str, Found]:
        """The runs of an experiment, by name; none if it does not exist."""
        try:
            number = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        except HTTPError:
            return {}
        found = self.post("runs/search", experiment_ids=[number], run_view_type=view, max_results=1000).get("runs", [])
        names = [run["info"]["run_name"] for run in found]
        assert len(set(names)) == len(names) or view != "ACTIVE_ONLY", names
        return {run["info"]["run_name"]: Found(self, run) for run in found}


@dataclass(frozen=True)
class Found:
    """A run on the server."""

    server: Server
    answer: dict[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.answer["info"]["run_id"])

    @property
    def status(self) -> str:
        return str(self.answer["info"]["status"])

    @property
    def params(self) -> dict[str, str]:
        return self._pairs("params")

    @property
    def tags(self) -> dict[str, str]:
        return self._pairs("tags")

    def _pairs(self, kind: str) -> dict[str, str]:
        return {each["key"]: each["value"] for each in self.answer["data"].get(kind, [])}

    @property
    def metrics(self) -> set[str]:
        return {each["key"] for each in self.answer["data"].get("metrics", [])}

    def history(self, metric: str) -> list[tuple[int, float]]:
        """Its values, each with its step."""
        found = self.server.get("metrics/get-history", run_id=self.run_id, metric_key=metric).get("metrics", [])
        return sorted((int(each.get("step", 0)), each["value"]) for each in found)

    def artifacts(self) -> set[str]:
        return {each["path"] for each in self.server.get("artifacts/list", run_id=self.run_id).get("files", [])}


NOTHING = Found(Server(""), {"info": {"status": ""}})


@pytest.fixture(scope="module")
def port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int, driver: Driver) -> Iterator[Server]:
    """One server for all tests of this file; it takes up to a minute to start, in which the driver starts as well."""
    folder = tmp_path_factory.mktemp("mlflow")
    command = [other_program("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**other_environment(), **quiet}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/health"))
        assert process.poll() is None, (folder / "log").read_text(errors="replace")
        yield Server(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=10):
            return True
    except OSError:
        return False


@contextmanager
def answering(status: int, body: str = "{}") -> Iterator[str]:
    """The address of a server that answers every request in this way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as stub:
        Thread(target=stub.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{stub.server_port}"
        stub.shutdown()


@dataclass(frozen=True)
class Driver:
    """Calls the tracker in the environment that has MLflow."""

    process: subprocess.Popen[str]

    def __call__(self, text: str) -> Any:
        """Run a text of Python with the names of tests/track/mlflow_driver.py, and return its `answer`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(dedent(text)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answered = json.loads(line)
        assert "error" not in answered, answered["error"]
        return answered["answer"]


@pytest.fixture(scope="module")
def driver(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    uri, folder = f"http://127.0.0.1:{port}", str(tmp_path_factory.mktemp("driven"))
    variables = {"PYTHONPATH": str(REPOSITORY), "DRIVER_URI": uri, "DRIVER_FOLDER": folder}
    process = subprocess.Popen(
        [other_python(), "-m", "tests.track.mlflow_driver"],
        env={**other_environment(), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Driver(process)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def test_what_runs_once_per_campaign_is_in_the_parent(server: Server, driver: Driver) -> None:
    driver("""
        setup = t.CampaignPart("setup", 0, START + 1, 2.0, 4.0, {"pool.n": 5, "pool.note": "small"})
        planned, memory = run("once"), {}
        for number in (1, 2, 2):
            finish = t.CampaignPart("finish", number, START + 50 * number, 1.0, 1.0, {"table.score": 0.5 * number})
            tracker = opened(planned, memory)
            tracker.close(t.TrackedEnd("done", START + 100, True, (), campaign=(setup, finish)))
    """)
    parent = server.runs("once")["once-1"]
    assert parent.tags["setup/pool.note"] == "small"
    found = {name: parent.history(name) for name in ("setup/pool.n", "setup/seconds", "finish/table.score")}
    assert found == {
        "setup/pool.n": [(0, 5.0)],
        "setup/seconds": [(0, 2.0)],
        "finish/table.score": [(1, 0.5), (2, 1.0)],
    }


def test_values_go_to_a_parent_and_a_child_for_each_learner_and_only_once(server: Server, driver: Driver) -> None:
    driver("""
        changes = [t.SessionStarted(1, START, "here"), t.LearnerStarted("l0", START), t.LearnerStarted("l1", START)]
        for n in range(3):
            options = {"train": {"--lr": 0.1, "--n": 10 * n}}
            changes += [iteration(n, 1 / (n + 1), options=options, result={"loss": n, "ok": True, "note": f"n{n}"},
                                  metrics={"accuracy": n / 4})]
        changes += [t.LearnerStopped("l0", START + 40, "criterion_met", "mse 0.1 < 0.2")]
        changes += [t.TaskFailed("l1", 0, "train", 0, 1, START + 1, "exited", "exit code 1")]
        changes += [t.LearnerStopped("l1", START + 40, "failed", "train failed")]
        best = t.LearnerEnd("l0", "done", "criterion_met", None, 3, 1 / 3, 2)
        planned = run("both", 2, options={"train": {"--lr": 0.1, "--n": "10*i"}}, settings={"tags": {"team": "x"}})
        for _ in range(2):  # as after a kill before rose saved its position: nothing is remembered
            tracker = opened(planned)
            tracker.send(changes)
            tracker.close(end("failed", best, t.LearnerEnd("l1", "failed", "failed", "", 0)))
    """)
    runs = server.runs("both")
    assert set(runs) == {"both-1", "l0", "l1"}
    parent, first, second = runs["both-1"], runs["l0"], runs["l1"]
    assert [run.status for run in (parent, first, second)] == ["FAILED", "FINISHED", "FAILED"]
    assert first.tags["mlflow.parentRunId"] == second.tags["mlflow.parentRunId"] == parent.run_id
    assert first.history("mse") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert first.history("accuracy") == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert first.history("result/loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert first.history("result/ok") == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert first.history("option/train/n") == [(0, 0.0), (1, 10.0), (2, 20.0)]
    assert first.history("best/mse") == [(2, 1 / 3)]
    assert first.params["option/train/lr"] == "0.1"
    assert first.params["option/train/n"] == "10*i"
    assert "option/train/lr" not in first.metrics
    assert (first.tags["rose.stop_reason"], first.tags["result/note"]) == ("criterion_met", "n2")
    assert second.tags["rose.failure"] == "train in iteration 0, attempt 1: exit code 1"
    assert {run.tags["team"] for run in runs.values()} == {"x"}
    assert first.answer["info"]["start_time"] == 1_700_000_000_000
    assert first.answer["info"]["end_time"] == 1_700_000_040_000
    assert parent.params == {
        "campaign": "both",
        "criterion": "mse < 0.1",
        "learners": "2",
        "max_iter": "5",
        "metric": "mse",
        "seed": "7",
    }
    assert parent.history("learners/criterion_met") == [(0, 1.0)]
    assert parent.tags["rose.status"] == "failed"


def test_names_and_values_that_mlflow_does_not_know_lose_nothing_else(server: Server, driver: Driver) -> None:
    driver("""
        odd = {"a%b": 1, "a_b": 2, "A_B": 3, "..": 4, "/x//y/": 5, " ": 6, "<script>": 7, "日本": 8, "": 9, "\\n": 10}
        long = {"z" * 900: 11, "small": 5e-324, "big": 2**70}
        huge = {"int": 10**400, "nan": math.nan, "inf": math.inf, "deep": {"er": 1}, "list": [1]}
        text = {"long": "é" * 100_000, "nul": "a\\0b", "lone": "\\ud800"}
        tracker = opened(run("odd", options={"train": {"--o" + "p" * 500: "v" * 20_000, "-n": 1, "--n": 2}}))
        reported = {**odd, **long, **huge, **text}
        tracker.send([iteration(0, 1e308, result=reported), iteration(1, math.nan, result=reported)])
        tracker.close(end())
    """)
    runs = server.runs("odd")
    learner, parent = runs["l0"], runs["odd-1"]
    last = {name: learner.history(name)[-1] for name in learner.metrics}
    for name, value in {
        "a_b": 1,
        "a_b_2": 2,
        "A_B_3": 3,
        "__": 4,
        "x/y": 5,
        "_script_": 7,
        "日本": 8,
        "deep.er": 1,
    }.items():
        assert last[f"result/{name}"] == (1, value), name
    assert {value for _, value in last.values()} >= set(map(float, range(1, 12))), "a value is missing"
    assert learner.history("mse") == [(0, 1e308)]
    assert learner.tags["mse.not_finite"] == "nan in iteration 1"
    assert learner.tags["result/inf.not_finite"] == "inf in iteration 1"
    assert last["result/big"] == (1, float(2**70))
    assert learner.tags["result/nul"] == "a\N{REPLACEMENT CHARACTER}b"
    assert learner.tags["result/long"].endswith("(100,000 characters)")
    assert (learner.params["option/train/n"], learner.params["option/train/n_2"]) == ("1", "2")
    assert "rose.left_out" not in parent.tags


def test_a_value_that_the_server_refuses_keeps_no_other_from_it(server: Server, driver: Driver) -> None:
    driver("""
        tracker = opened(run("refused"))
        tracker._names._known["result\\nbad"] = "not/../allowed"
        tracker.send([iteration(n, result={"good": n, "bad": n}) for n in range(40)])
        tracker.close(end())
    """)
    runs = server.runs("refused")
    assert len(runs["l0"].history("result/good")) == len(runs["l0"].history("mse")) == 40
    assert runs["refused-1"].tags["rose.left_out"] == "40 values that MLflow does not accept"


def test_more_than_one_request_holds_arrives(server: Server, driver: Driver) -> None:
    driver("""
        options = {"train": {f"--o{i}": f"{i}" * 2_000 for i in range(230)}}
        tracker = opened(run("much", options=options))
        reported = {f"r{i}": i for i in range(20)} | {f"t{i}": "x" * 4000 for i in range(150)}
        tracker.send([iteration(n, result=reported) for n in range(120)])
        tracker.close(end())
    """)
    learner = server.runs("much")["l0"]
    assert len(learner.history("result/r19")) == 120
    assert len(learner.params) == 230 + 4
    assert len([tag for tag in learner.tags if tag.startswith("result/t")]) == 150


def test_a_resume_goes_on_in_the_same_runs_even_if_rose_forgot_them(server: Server, driver: Driver) -> None:
    """After an interruption; with what was remembered, and without it."""
    driver("""
        memory = {}
        tracker = opened(run("again", 2), memory)
        tracker.send([t.LearnerStarted("l0", START), iteration(0)])
        tracker.close(end("interrupted", t.LearnerEnd("l0", "interrupted", None, None, 1, 0.5, 0)))
    """)
    before = server.runs("again")
    assert {run.status for run in before.values()} == {"KILLED"}
    memories: tuple[dict[str, Any] | None, ...] = ({"names": {}}, None)
    for memory in memories:
        driver(f"""
            remembered = {memory!r}
            edited = run("again", 2, options={{"train": {{"--lr": 0.2, "--new": "x"}}}}, session=2)
            tracker = opened(edited, remembered)
            tracker.send([iteration(1, 0.05)])
        """)
        running = server.runs("again")
        assert {name: run.run_id for name, run in running.items()} == {name: run.run_id for name, run in before.items()}
        assert {run.status for run in running.values()} == {"RUNNING"}
        learner = running["l0"]
        assert learner.history("mse") == [(0, 0.5), (1, 0.05)]
        assert (learner.params["option/train/lr"], learner.tags["edited/option/train/lr"]) == ("0.1", "0.2")
        assert learner.params["option/train/new"] == "x"


def test_a_learner_that_runs_again_has_no_stop_reason(server: Server, driver: Driver) -> None:
    driver("""
        tracker = opened(run("reopened"))
        tracker.send([iteration(0), t.LearnerStopped("l0", START + 9, "max_iter", "2 iterations")])
        tracker.send([t.LearnerReopened("l0", START + 20, 0)])
    """)
    learner = server.runs("reopened")["l0"]
    assert learner.status == "RUNNING"
    assert not learner.tags.get("rose.stop_reason")
    assert learner.tags["rose.rerun_from"] == "0"


@pytest.mark.parametrize("gone", ["parent", "learner"])
def test_what_was_deleted_on_the_server_is_sent_again(server: Server, driver: Driver, gone: str) -> None:
    name = f"deleted-{gone}"
    text = f"""
        tracker = opened(run("{name}"), memory)
        tracker.send([iteration(0), t.LearnerStopped("l0", START + 9, "max_iter", None)])
        tracker.close(end())
        answer = memory
    """
    memory = driver("memory = {}\n" + dedent(text))
    deleted = server.runs(name)[{"parent": f"{name}-1", "learner": "l0"}[gone]]
    server.post("runs/delete", run_id=deleted.run_id)
    again = driver(f"memory = {memory!r}\n" + dedent(text))
    assert again["started_over"]
    runs = server.runs(name)
    assert set(runs) == {f"{name}-1", "l0"}
    assert deleted.run_id not in {run.run_id for run in runs.values()}
    assert runs["l0"].history("mse") == [(0, 0.5)]
    assert runs["l0"].tags["mlflow.parentRunId"] == runs[f"{name}-1"].run_id


def test_another_server_gets_everything(server: Server, driver: Driver) -> None:
    assert driver("""
        memory = {"server": "http://elsewhere:5000", "parent": "x", "runs": {"l0": "y"}}
        opened(run("moved"), memory)
        answer = memory["started_over"]
    """)


def test_each_wrong_setting_is_one_line_that_says_what_to_do(server: Server, driver: Driver) -> None:
    refusing, broken, other = answering(401, "no"), answering(500, "oops"), answering(200, "<html>")
    with refusing as unauthorised, broken as failing, other as website:
        found = driver(f"""
            uris = ["localhost:5000", "nonsense://x", "http://user:hidden@127.0.0.1:1", "file:mlruns",
                    {unauthorised!r}, {failing!r}, {website!r}, {server.uri + "/wrong"!r}]
            answer = [trouble(lambda: opened(run("wrong", settings={{"uri": uri}}))) for uri in uris]
        """)
    expected: list[tuple[str, str | None, bool]] = [
        ("'localhost:5000' is no MLflow server", "did you mean http://localhost:5000?", False),
        ("MLflow knows no server such as 'nonsense://x'", "set `uri:`", False),
        ("MLflow at http://127.0.0.1:1: connection refused", None, True),
        ("MLflow no longer writes into directories such as file:mlruns", "sqlite:///mlflow.db", False),
        (f"MLflow at {unauthorised} refuses the credentials", "MLFLOW_TRACKING_USERNAME", False),
        (f"MLflow at {failing}: the server answers with error 500", None, True),
        (f"there is no MLflow server at {website}", "set `uri:`", False),
        (f"there is no MLflow server at {server.uri}/wrong", "set `uri:`", False),
    ]
    for (message, hint, temporary), wanted in zip(found, expected, strict=True):
        assert message.startswith(wanted[0]), message
        assert "\n" not in message
        assert (wanted[1] or "") in (hint or ""), hint
        assert temporary is wanted[2], message
        assert "hidden" not in message


def test_without_a_server_it_says_how_to_name_one() -> None:
    from rose_cli.track.interface import TrackerError
    from rose_cli.track.mlflow_client import Client

    with pytest.raises(TrackerError, match="there is no MLflow server to send to") as error:
        Client(None)
    assert "MLFLOW_TRACKING_URI" in str(error.value.hint)
    assert not error.value.temporary


CAMPAIGN = """\
max_iter: 3
tasks:
  train: {executable: "sh train.sh", options: {--lr: 0.5}, adaptive: {--size: 10 * (i + 1)}}
stop: {metric: mse, threshold: 0.5, executable: "sh value.sh"}
learners: [{name: a}, {name: b, train: {1: {--lr: 0.25}}}]
track: {mlflow: {uri: URI, experiment: EXPERIMENT}}
"""

TRAIN = """\
while [ ! -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.1; done
echo '{"loss": 0.25, "note": "text"}' > "$ROSE_RESULT"
"""


@contextmanager
def forwarding(port: int, target: int) -> Iterator[None]:
    """Something that passes on what it gets at one port to another: a server that has come back."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                incoming, _ = listening.accept()
                outgoing = socket.create_connection(("127.0.0.1", target))
                for pair in ((incoming, outgoing), (outgoing, incoming)):
                    Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", port)) as listening:
        Thread(target=serve, args=(listening,), daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)


def trouble_of(run: Path) -> str:
    """What the tracker lacks at present, as it is written in the run directory."""
    with suppress(OSError):
        return (run / "track/mlflow/position.json").read_text(encoding="utf-8")
    return ""


def test_a_campaign_does_not_notice_that_its_server_comes_late(server: Server, port: int, tmp_path: Path) -> None:
    """The values of the time without a server are there as well."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        late = int(found.getsockname()[1])
    campaign = CAMPAIGN.replace("URI", f"http://127.0.0.1:{late}").replace("EXPERIMENT", "late")
    for name, text in {
        "campaign.yaml": campaign,
        "train.sh": TRAIN,
        "value.sh": "echo $((2 - ROSE_ITERATION))\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [other_python(), "-m", "rose_cli", "run", "campaign.yaml", "-o", "quiet"]
    with subprocess.Popen(command, cwd=tmp_path, env=other_environment(), stderr=subprocess.PIPE, text=True) as process:
        latest = tmp_path / "rose-runs" / "latest"
        try:
            wait_until(lambda: "connection refused" in trouble_of(latest))
        finally:
            (tmp_path / "go").touch()  # the tasks wait for it, and the end of this block for them
        with forwarding(late, port):
            _, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, errors
            wait_until(lambda: server.runs("late").get(latest.resolve().name, NOTHING).status == "FINISHED")
    runs, run = server.runs("late"), latest.resolve().name
    assert set(runs) == {"a", "b", run}
    for name in ("a", "b"):
        learner = runs[name]
        assert learner.status == "FINISHED"
        assert learner.history("mse") == [(0, 2.0), (1, 1.0), (2, 0.0)]
        assert learner.history("option/train/size") == [(0, 10.0), (1, 20.0), (2, 30.0)]
        assert learner.history("result/loss") == [(0, 0.25), (1, 0.25), (2, 0.25)]
        assert learner.params["option/train/lr"] == "0.5"
        assert learner.tags["rose.stop_reason"] == "criterion_met"
    assert "option/train/lr" not in runs["a"].metrics
    assert runs["b"].history("option/train/lr") == [(0, 0.5), (1, 0.25), (2, 0.5)]
    assert runs[run].artifacts() >= {"campaign.yaml", "plan.json"}

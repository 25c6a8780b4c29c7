"""Requests to an MLflow server within its limits; what goes wrong becomes one line that says what to do.

MLflow's own library makes the requests, so that credentials, certificates, plug-ins, databases and Databricks work as
its documentation says. It takes seconds to import: only the process of a tracker does.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from rose_cli.track.interface import StartOverError, TrackerError
from rose_cli.util.text import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import NoReturn

    from mlflow.entities import Run

_Entity: TypeAlias = "tuple[str, Any]"

INSTALL = "pip install 'rose-cli[mlflow]'"
_CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_DIRECTORY = "set `uri: sqlite:///mlflow.db` or that of a server, or set MLFLOW_ALLOW_FILE_STORE=true"
_SERVER = "set `uri:` of the tracker or MLFLOW_TRACKING_URI to the server, as in http://localhost:5000"

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
}
"""Unless the user sets them: rose itself tries again, and nobody has asked for statistics on the use of MLflow."""

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_MOST_IN_ALL, _MOST, _MOST_BYTES = 1_000, {"params": 100, "tags": 100}, 500_000
"""What fits into a request of log-batch, which may have a megabyte."""
_LONGEST = 5_000
"""Of a value of a parameter (6,000) or a tag (8,000)."""
_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""Characters that no database of MLflow stores."""


class Point(NamedTuple):
    """A value of a metric; `time` in UNIX milliseconds."""

    name: str
    value: float
    time: int
    step: int


class Found(NamedTuple):
    """A run on the server."""

    run_id: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    started: int


class Client:
    """The runs of one server. `refused`: how many values it did not accept."""

    def __init__(self, uri: str | None) -> None:
        uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
        if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
            raise TrackerError(f"'{uri}' is no MLflow server", f"did you mean http://{uri}?", temporary=False)
        if not uri:
            raise TrackerError("there is no MLflow server to send to", _SERVER, temporary=False)
        scheme = urlsplit(uri).scheme.split("+")[0]
        if find_spec("mlflow") is None:
            raise TrackerError("MLflow is not installed", INSTALL, temporary=False)
        if scheme in _DATABASES and find_spec("sqlalchemy") is None:
            hint = "pip install mlflow, or start `mlflow server` elsewhere and set its `uri:`"
            raise TrackerError(f"mlflow-skinny cannot open a {scheme} database", hint, temporary=False)
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.refused = 0
        self._refused: set[tuple[str, str]] = set()
        self.uri = os.environ["MLFLOW_TRACKING_URI"] = uri  # for what stores artifacts
        self.shown = _shown(uri)
        with self._explained():
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(self.uri)

    @property
    def is_web(self) -> bool:
        """Whether a browser can show it."""
        return self.uri.startswith(("http:", "https:"))

    def experiment(self, name: str) -> str:
        """The ID of the experiment; it is created if there is none."""
        with self._explained():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                try:
                    return str(self._client.create_experiment(name))
                except Exception as error:
                    if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                        raise
                    found = self._client.get_experiment_by_name(name)
            if found.lifecycle_stage == "active":
                return str(found.experiment_id)
        hint = "restore it (`mlflow experiments restore`), or set another `experiment:`"
        raise TrackerError(f"the experiment '{cut(name, 60)}' was deleted on {self.shown}", hint, temporary=False)

    def active_run(self, run_id: str) -> Found:
        """The run. Raises StartOverError if it was deleted, or if the server never had it."""
        try:
            with self._explained():
                run = self._client.get_run(run_id)
        except _GoneError as error:
            raise StartOverError from error
        if run.info.lifecycle_stage != "active":
            raise StartOverError
        return _found(run)

    def runs(self, experiment: str, tag: str, value: str) -> Iterator[Found]:
        """The runs of the experiment with this value of a tag that are not deleted, the oldest first."""
        token = None
        while True:
            with self._explained():
                page = self._client.search_runs(
                    [experiment],
                    f"tags.`{tag}` = '{value}'",
                    max_results=1_000,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
            yield from map(_found, page)
            token = page.token
            if not token:
                return

    def create(self, experiment: str, name: str, started: int, tags: Mapping[str, str]) -> Found:
        with self._explained():
            stored = {key: fit(value) for key, value in tags.items()}
            return _found(self._client.create_run(experiment, started, stored, run_name=fit(name, 250) or "run"))

    def log(
        self, run_id: str, points: Sequence[Point] = (), params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        """Send all of it in as few requests as the server allows."""
        from mlflow.entities import Metric, Param, RunTag

        entities = [
            *(("params", Param(name, fit(value))) for name, value in params.items()),
            *(("tags", RunTag(name, fit(value))) for name, value in tags.items()),
            *(("metrics", Metric(each.name, each.value, each.time, each.step)) for each in points),
        ]
        for batch in _batches(entities):
            self._send(run_id, batch)

    def _send(self, run_id: str, batch: Sequence[_Entity]) -> None:
        by_kind: dict[str, list[Any]] = {}
        for kind, entity in batch:
            if (kind, entity.key) in self._refused:
                self.refused += 1
            else:
                by_kind.setdefault(kind, []).append(entity)
        try:
            with self._explained():
                self._client.log_batch(run_id, **by_kind)
        except _RefusedError:
            # a value that the server does not accept must not keep the others from it
            middle = len(batch) // 2
            if middle:
                self._send(run_id, batch[:middle])
                self._send(run_id, batch[middle:])
            else:
                self._refused.add((batch[0][0], batch[0][1].key))
                self.refused += 1

    def set_status(self, run_id: str, status: str, ended: int | None) -> None:
        """RUNNING, FINISHED, FAILED or KILLED."""
        with self._explained():
            if ended is None:
                self._client.update_run(run_id, status=status)
            else:
                self._client.set_terminated(run_id, status, ended)

    def upload(self, run_id: str, paths: Iterable[Path]) -> None:
        with self._explained():
            for path in paths:
                self._client.log_artifact(run_id, str(path))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (TrackerError, StartOverError):
            raise
        except Exception as error:  # noqa: BLE001 - of the library and of all that it uses
            self._explain(error)

    def _explain(self, error: Exception) -> NoReturn:
        code, text = str(getattr(error, "error_code", "")), _first_line(error)
        kind: type[TrackerError] = TrackerError
        message, hint, temporary = f"MLflow at {self.shown}: {text}", None, False
        if code == "RESOURCE_DOES_NOT_EXIST" or "in the 'active' state" in text:
            kind, message, temporary = _GoneError, f"a run was deleted on {self.shown}", True
        elif code in {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"}:
            message, hint = f"MLflow at {self.shown} refuses the credentials", _CREDENTIALS
        elif code in {"ENDPOINT_NOT_FOUND", "NOT_FOUND"} or "not in a valid JSON format" in text:
            message, hint = f"there is no MLflow server at {self.shown}", _SERVER
        elif "unsupported URI" in text:
            message, hint = f"MLflow knows no server such as '{self.shown}'", _SERVER
        elif "filesystem tracking backend" in text:
            message, hint = f"MLflow no longer writes into directories such as {self.shown}", _DIRECTORY
        elif isinstance(error, ImportError):
            message, hint = f"MLflow cannot be imported: {text}", INSTALL
        elif code in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}:
            kind = _RefusedError
        else:
            temporary = True
            message = f"MLflow at {self.shown}: {_no_answer(error) or text}"
        raise kind(message, hint, temporary=temporary) from error


class _GoneError(TrackerError):
    """The run was deleted. The next `open` notices it, and starts over."""


class _RefusedError(TrackerError):
    """The server does not accept a value."""


def _found(run: Run) -> Found:
    data, info = run.data, run.info
    return Found(info.run_id, info.status, dict(data.params), dict(data.tags), info.start_time or 0)


def _batches(entities: Sequence[_Entity]) -> Iterator[list[_Entity]]:
    """The entities in batches that fit into a request."""
    batch: list[_Entity] = []
    counts, size = Counter[str](), 0
    for kind, entity in entities:
        length = 200 + len(json.dumps([entity.key, str(entity.value)]))
        is_full = len(batch) == _MOST_IN_ALL or counts[kind] == _MOST.get(kind) or size + length > _MOST_BYTES
        if batch and is_full:
            yield batch
            batch, counts, size = [], Counter(), 0
        batch.append((kind, entity))
        counts[kind] += 1
        size += length
    if batch:
        yield batch


def fit(text: str, longest: int = _LONGEST) -> str:
    """The text as any database of MLflow stores it; what is too long is cut, and says so."""
    text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= longest else f"{cut(text, longest - 40)} ({len(text):,} characters)"


def _shown(uri: str) -> str:
    """The URI without a password."""
    parts = urlsplit(uri)
    return (
        cut(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="")), 200) if parts.netloc else uri
    )


def _first_line(error: Exception) -> str:
    """What the error says, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return cut(text.partition(": ")[2] if text.startswith(f"{getattr(error, 'error_code', None)}: ") else text, 300)


def _no_answer(error: BaseException | None) -> str | None:
    """Why no answer came, if none did."""
    while error is not None:
        if type(error).__module__.startswith(("requests.", "urllib3.")):
            text = " ".join(str(error).split())
            if found := re.search(r"too many (\d+) error responses", text):
                return f"the server answers with error {found.group(1)}"
            if found := re.search(r"\[Errno -?\d+\] ([\w ]+)", text):
                return found.group(1).lower()
            return "no answer in time" if "time" in type(error).__name__.lower() else cut(text, 200)
        error = error.__cause__ or error.__context__
    return None

"""MLflow: an experiment a sweep, a run a trial. A tracking URI names a server, a database or a folder."""

from __future__ import annotations

import importlib.util
import json
import os
import posixpath
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.state import SweepState, Trial
from balltrain.training.rows import EpochRow

SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "file", "databricks")
CHECK_TIMEOUT_S = 2.0
MAX_PARAM = 6000  # characters of a value
MAX_BATCH = 1000  # metrics that a server takes at once
TRIAL_TAG = "balltrain.trial_id"
# unless set: a server that hangs is left for later, not waited for; and nothing is told to MLflow's makers
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",  # its remarks would break the live view
    "GIT_PYTHON_REFRESH": "quiet",
}


def check_mlflow(uri: str) -> str | None:
    """What a user should know before the sweep starts: that no server answers there, which stops nothing.

    Raises UsageError for a URI that MLflow cannot know, BalltrainError where MLflow is not installed.
    """
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in SCHEMES or ":" not in uri:
        raise UsageError(f"--mlflow {uri!r} is no tracking URI: such as http://host:5000 or sqlite:///mlflow.db")
    if importlib.util.find_spec("mlflow") is None:
        raise BalltrainError("--mlflow needs MLflow, which is not installed: pip install 'balltrain[mlflow]'")
    if scheme.startswith("http"):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CHECK_TIMEOUT_S).close()
        except urllib.error.HTTPError:
            return None  # something answers, behind a gateway perhaps
        except (OSError, ValueError) as error:
            return f"MLflow does not answer at {uri} ({error}): the sweep starts, and sends it later what it can"
    return None


class MlflowMirror:
    """Runs are found again by their tag: a resumed sweep goes on with them, and sends what they lack."""

    name = "MLflow"
    remedy = "the same command with --resume sends the rest"

    def __init__(self, uri: str):
        self.uri = uri
        self._runs: dict[str, str] = {}  # trial_id to MLflow's own
        self._without_params: set[str] = set()
        self._asked_for: set[str] = set()  # runs whose making was not answered: they may be there
        self._num_sent: dict[str, int] = {}
        self._status: dict[str, str] = {}  # as MLflow has it

    def open(self, state: SweepState) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self.uri)
        name, created_at = state.sweep["name"], str(state.sweep.get("created_at"))
        found = self._client.get_experiment_by_name(name)
        if found and found.tags.get("created_at", created_at) != created_at:  # an earlier sweep of that name
            name = f"{name} {created_at}"
            found = self._client.get_experiment_by_name(name)
        told = ("task", "objective", "mode", "data_fingerprint", "created_at")
        tags = {key: str(state.sweep.get(key)) for key in told}
        self._experiment = found.experiment_id if found else self._client.create_experiment(name, tags=tags)
        token = None
        while found:
            page = self._client.search_runs([self._experiment], page_token=token)
            for run in page:
                if trial_id := run.data.tags.get(TRIAL_TAG):
                    self._runs[trial_id] = run.info.run_id
                    self._num_sent[trial_id] = int(run.data.metrics.get(c.EPOCH, 0))
                    self._status[trial_id] = run.data.tags.get(c.STATUS, "")
            if not (token := page.token):
                break

    def update(self, trial: Trial) -> None:
        run_id = self._run(trial)
        rows = trial.rows[self._num_sent.get(trial.trial_id, 0) :]
        per_batch = max(1, MAX_BATCH // (6 + len(rows[0]["metrics"]))) if rows else 1
        for start in range(0, len(rows), per_batch):
            batch = rows[start : start + per_batch]
            self._client.log_batch(run_id, metrics=[metric for row in batch for metric in _metrics(trial, row)])
            self._num_sent[trial.trial_id] = batch[-1][c.EPOCH]
        if trial.status != self._status.get(trial.trial_id):
            self._set_status(run_id, trial)
            self._status[trial.trial_id] = trial.status

    def close(self, state: SweepState) -> None:
        pass

    def _run(self, trial: Trial) -> str:
        from mlflow.entities import Param

        if trial.trial_id not in self._runs:
            tags = {TRIAL_TAG: trial.trial_id, "balltrain.seed": str(trial.seed)}
            if trial.confirms is not None:
                tags["balltrain.confirms"] = f"{trial.confirms:05d}"
            started = int((trial.started_at or 0.0) * 1000) or None
            run = self._lost(trial) or self._client.create_run(
                self._experiment, started, tags, run_name=trial.trial_id
            )
            self._asked_for.discard(trial.trial_id)
            self._runs[trial.trial_id] = run.info.run_id
            self._without_params.add(trial.trial_id)
        run_id = self._runs[trial.trial_id]
        if trial.trial_id in self._without_params:
            params = [Param(_valid(name), _text(value)[:MAX_PARAM]) for name, value in trial.config.items()]
            for start in range(0, len(params), 100):  # the same ones twice are no error
                self._client.log_batch(run_id, params=params[start : start + 100])
            self._without_params.discard(trial.trial_id)
        return run_id

    def _lost(self, trial: Trial) -> Any:
        """The run that a request has made whose answer never came; None where there is none."""
        if trial.trial_id not in self._asked_for:
            self._asked_for.add(trial.trial_id)
            return None
        found = self._client.search_runs([self._experiment], f"tags.`{TRIAL_TAG}` = '{trial.trial_id}'")
        return next(iter(found), None)

    def _set_status(self, run_id: str, trial: Trial) -> None:
        self._client.set_tag(run_id, c.STATUS, trial.status.value)
        if trial.error:
            self._client.set_tag(run_id, c.ERROR, trial.error[:500])
        if trial.objective is not None and trial.status != Status.RUNNING:
            self._client.log_metric(run_id, "best_objective", trial.objective, step=trial.epochs)
        if trial.status == Status.RUNNING:
            self._client.update_run(run_id, status="RUNNING")
        elif trial.status == Status.PAUSED:
            self._client.update_run(run_id, status="SCHEDULED")
        else:
            words = {Status.FAILED: "FAILED", Status.INTERRUPTED: "KILLED"}
            ended = int((trial.ended_at or 0.0) * 1000) or None
            self._client.set_terminated(run_id, words.get(trial.status, "FINISHED"), ended)


def _metrics(trial: Trial, row: EpochRow) -> list[Any]:
    from mlflow.entities import Metric

    seconds = sum(before[c.SECONDS] for before in trial.rows[: row[c.EPOCH]])
    time = int(((trial.started_at or 0.0) + seconds) * 1000)
    names = (c.EPOCH, c.TRAIN_LOSS, c.VAL_LOSS, c.LR, c.SECONDS, "objective")
    plain: Mapping[str, Any] = row
    values = {name: plain[name] for name in names} | row["metrics"]
    return [Metric(_valid(name), float(v), time, row[c.EPOCH]) for name, v in values.items() if v is not None]


def _valid(name: str) -> str:
    """A name that MLflow takes: at most 250 letters, digits and `_-. :`, with `/` as in a path that leads down."""
    return posixpath.normpath(re.sub(r"[^\w\-./ :]", "_", name)).lstrip("/.")[:250] or "_"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

"""What a user has told W&B holds under `--wandb auto`; names of any kind become ids that it takes."""

import re

import pytest

from balltrain.errors import UsageError
from balltrain.reporting.wandb_report import publish
from balltrain.tracking import wandb as tracking
from balltrain.tracking import wandb_environment
from balltrain.tracking.mirrors import Tracking
from balltrain.tracking.mlflow import _valid
from balltrain.tracking.wandb import valid_id, valid_name


@pytest.fixture(autouse=True)
def told_nothing(monkeypatch, tmp_path):
    """A key, and an empty folder and home."""
    for name in ("MODE", "DISABLED", "DIR", "PROJECT", "ENTITY", "CONFIG_DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "mode"),
    [
        ("MODE", "offline", "offline"),
        ("MODE", "dryrun", "offline"),
        ("MODE", "disabled", "off"),
        ("MODE", "Disabled", "off"),
        ("MODE", "online", "online"),
        ("MODE", "", "online"),
        ("DISABLED", "true", "off"),
        ("DISABLED", "1", "off"),
        ("DISABLED", "false", "online"),
    ],
)
def test_nothing_is_sent_where_the_user_said_not_to(monkeypatch, variable, value, mode):
    monkeypatch.setenv(f"WANDB_{variable}", value)
    assert tracking.resolve_mode("auto") == mode
    assert tracking.resolve_mode("online") == "online"  # what is typed is the later word


def test_a_mode_that_there_is_not_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UsageError, match="WANDB_MODE is 'ofline': set it to online, offline or disabled"):
        tracking.resolve_mode("auto")


@pytest.mark.parametrize(
    ("text", "mode"),
    [("mode = offline", "offline"), ("mode = disabled", "off"), ("disabled = true", "off"), ("[", "online")],
)
def test_wandb_offline_and_disabled_hold(tmp_path, text, mode):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text(f"[default]\n{text}\n")
    assert tracking.resolve_mode("auto") == mode


def test_project_and_entity_are_the_environments_else_those_of_wandb_init(monkeypatch, tmp_path):
    assert (wandb_environment.project(), wandb_environment.entity()) == ("balltrain", None)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nproject = of-init\nentity = team\n")
    assert (wandb_environment.project(), wandb_environment.entity()) == ("of-init", "team")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_ENTITY", "me")
    assert (wandb_environment.project(), wandb_environment.entity()) == ("mine", "me")


def test_a_checkpoint_for_a_wandb_that_is_disabled_says_by_what(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(UsageError, match="which WANDB_MODE=disabled turns off"):
        Tracking(wandb_checkpoint=True).mirrors()


def test_files_are_kept_where_wandb_dir_says(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "of wandb"))
    mirror = tracking.WandbMirror("offline", tmp_path / "run")
    assert mirror.root == tmp_path / "of wandb"
    assert f"wandb sync '{tmp_path}/of wandb/wandb'/*run-*" in mirror.remedy


@pytest.mark.parametrize("name", ["exp: lr=0.1 #3", "a;b", "a,b", "it's", "a?b", "x" * 300, "a/b", "\n"])
def test_any_name_becomes_an_id_that_wandb_takes(name):
    found = valid_id(f"{name}-00000")
    assert not set(":;,#?/'\n") & set(found)
    assert found == found.strip()
    assert 0 < len(found) <= 128
    assert re.fullmatch(r"[\w.-]{1,128}", valid_name(name))


def test_ids_of_names_that_wandb_takes_stay_and_others_differ():
    assert valid_id("my run-00000") == "my run-00000"
    assert valid_id("a:b-00000") != valid_id("a;b-00000")


def test_metrics_of_any_name_are_logged_by_mlflow():
    from mlflow.utils.validation import _validate_metric_name

    for name in ("acc@5", "F1 (macro)", "mAP.50:.95", "../x", "a//b", "/a", "x" * 400, "%"):
        _validate_metric_name(_valid(name))
    assert _valid("val/acc") == "val/acc"


def test_no_report_is_made_in_a_wandb_that_is_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("balltrain.reporting.wandb_report.build_report", lambda *_: None)
    monkeypatch.setattr("balltrain.reporting.wandb_report._write", lambda *_: None)
    assert publish(None, tmp_path).startswith("WANDB_MODE=offline keeps W&B offline")

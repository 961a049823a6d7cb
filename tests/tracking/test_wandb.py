import pytest
from toy import Toy

from balltrain.errors import BalltrainError, UsageError
from balltrain.tracking import wandb as tracking

ROW = {"epoch": 1, "lr": 0.1, "train_loss": 1.0, "val_loss": 1.0, "seconds": 1.0, "objective": 1.0, "metrics": {}}


def test_auto_is_offline_without_a_key_and_online_with_one(monkeypatch):
    assert tracking.resolve_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert tracking.resolve_mode("auto") == "online"
    assert tracking.resolve_mode("online") == "online"


def test_a_key_of_wandb_login_is_found(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert tracking.resolve_mode("auto") == "online"


def test_online_without_a_key_says_what_to_do():
    with pytest.raises(BalltrainError, match=r"wandb login.*--wandb offline"):
        tracking.resolve_mode("online")


def test_an_unknown_mode_is_refused():
    with pytest.raises(UsageError, match="unknown --wandb mode 'on'"):
        tracking.resolve_mode("on")


def test_off_imports_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with tracking.WandbRun("off", tmp_path, "s", Toy(), "00000", {}) as run:
        run.log(ROW)
    assert list(tmp_path.iterdir()) == []


def test_a_wandb_that_breaks_does_not_break_the_trial(tmp_path, monkeypatch, caplog):
    import wandb

    def broken(**_):
        raise wandb.errors.CommError("no route to host")

    monkeypatch.setattr(wandb, "init", broken)
    with tracking.WandbRun("online", tmp_path, "s", Toy(), "00000", {}) as run:
        run.log(ROW)
    assert "the trial goes on without it" in caplog.text

import os
from pathlib import Path

import pytest

# never a machine's own key, never the network
os.environ.pop("WANDB_API_KEY", None)
os.environ["NETRC"] = os.devnull
os.environ["WANDB_ERROR_REPORTING"] = "false"


@pytest.fixture(scope="session")
def shared_data_dir(tmp_path_factory) -> Path:
    """One cache of decoded data for all tests that do not test the cache."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder: (exit code, stdout, stderr)."""
    from balltrain.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run

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

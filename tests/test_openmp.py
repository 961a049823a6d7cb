"""OpenMP's threads wait asleep, where the user has not said how they wait."""

import os
import subprocess
import sys

import pytest

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize(
    ("set_", "found"),
    [({}, "passive"), ({"GOMP_SPINCOUNT": "100"}, "None"), ({"OMP_WAIT_POLICY": "active"}, "active")],
)
def test_threads_wait_as_the_user_says_else_asleep(set_, found):
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | set_
    code = "import balltrain, os; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found

import logging

import pytest


@pytest.fixture
def local_ray():
    """A Ray that this process has started before any sweep, of another size than the machine."""
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    ray.init(address="local", num_cpus=3, include_dashboard=False, **quiet)
    yield ray
    ray.shutdown()

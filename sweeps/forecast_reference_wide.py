"""The original project's search for its forecaster, with its larger batch sizes, 32 to 128.

Source, and what else the space holds: sweeps/forecast_reference.py.

    balltrain sweep forecast_reference_wide --source mini_balls_seq.tgz
"""

from ray import tune

from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep

sweep, _ = find_sweep("forecast_reference")
sweep = override(sweep, space={**sweep.space, "batch_size": tune.choice([32, 64, 128])})

if __name__ == "__main__":
    sweep.main(__file__)

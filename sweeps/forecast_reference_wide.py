"""The original project's search for its forecaster, with its larger batch sizes.

Source: BallDetectionAndForecasting (P.-E. Sotir, 2019), docs/rapport.md, which gives two versions of the space:
the one with batch sizes of 16 to 64 is
sweeps/forecast_reference.py. Its best: lr 9.89e-5, weight decay 2.02e-4,
batch size 16, tanh, dropout 0.45, widths 512-256-128-128; they are the defaults of `model="reference"`.

    balltrain sweep forecast_reference_wide --source mini_balls_seq.tgz
"""

from ray import tune

from balltrain.tuning.sweep import find_sweep, override

sweep, _ = find_sweep("forecast_reference")
sweep = override(sweep, space={**sweep.space, "batch_size": tune.choice([32, 64, 128])})

if __name__ == "__main__":
    sweep.main(__file__)

"""Steps a second of a training with as many threads as cores, where one core is busy and where none is.

    python benchmarks/busy_machine.py [--seconds 4]

OpenMP's threads wait for each other after each layer, by default spinning: where another program has one of the
cores, the spinning threads keep it from the one that is waited for. Each setting is a process of its own, in turn
quiet and beside a busy one; the baseline is what OpenMP does by itself, and what balltrain leaves it to do. On a
machine that is not quiet it says so.
"""

import argparse
import os
import subprocess
import sys
import time

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
OWN = "OpenMP's own"
SETTINGS: dict[str, dict[str, str]] = {
    OWN: {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=0": {"GOMP_SPINCOUNT": "0"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
}


def measure(seconds: float) -> float:
    """Steps a second of a small convolutional network, on a batch of noise."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    layers: list[nn.Module] = []
    for channels in ((3, 16), (16, 32), (32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(*channels, 3, padding=1), nn.BatchNorm2d(channels[1]), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4, 10))  # the shape of a classifier's
    optimizer = torch.optim.AdamW(model.parameters())
    images, classes = torch.rand(32, 3, 64, 64), torch.randint(10, (32,))

    def step() -> None:
        nn.functional.cross_entropy(model(images), classes).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - began)


def in_process(name: str, seconds: float, busy: bool) -> float:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | SETTINGS[name]
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        command = [sys.executable, __file__, "--measure", str(seconds)]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(answer.stdout)
    finally:
        if other is not None:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--measure", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(measure(arguments.measure))
        return
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}" + ("; not quiet: the figures say little" if load > 0.5 else ""))
    baseline: dict[bool, float] = {}
    print(f"{'':<26}{'quiet':>16}{'one core busy':>20}")
    for name in SETTINGS:
        cells = ""
        for busy in (False, True):
            rate = in_process(name, arguments.seconds, busy)
            baseline.setdefault(busy, rate)
            cells += f"{rate:>10.2f}/s {rate / baseline[busy]:>5.2f}x"
        print(f"{name:<26}{cells}", flush=True)


if __name__ == "__main__":
    main()

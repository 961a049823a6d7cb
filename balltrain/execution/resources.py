"""What a user says of the cluster and of a trial's part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balltrain.execution.placement import Node, Placement, place
from balltrain.knobs import Panel, knob


@dataclass(frozen=True)
class Resources:
    """What is wanted of the cluster; None leaves the choice to `place`."""

    num_gpus: int | None = knob(None, "GPUs to use.", Panel.RESOURCES, says="all there are")
    gpus_per_trial: float | None = knob(
        None, "GPUs of a trial: a part of one, or several.", Panel.RESOURCES, says="1"
    )
    workers_per_trial: int | None = knob(None, "Data-parallel workers of a trial.", Panel.RESOURCES, says="1")
    cpus_per_trial: float | None = knob(None, "CPUs of a trial.", Panel.RESOURCES, says="1, or a GPU's share")
    address: str | None = knob(
        None,
        "Address host:port of a running Ray, or auto.",
        Panel.RESOURCES,
        says="a Ray of its own",
        envvar="RAY_ADDRESS",
    )
    gpu_type: str | None = knob(
        None, "Restrict the sweep to one GPU type, such as A10G.", Panel.RESOURCES, says="any"
    )

    @property
    def joins(self) -> bool:
        """A Ray that was there before, and perhaps of several machines."""
        return bool(self.address) and self.address != "local"

    def place(self, nodes: Sequence[Node]) -> Placement:
        """Where trials go on these nodes. Raises BalltrainError where none fits."""
        return place(
            nodes,
            num_gpus=self.num_gpus,
            gpus_per_trial=self.gpus_per_trial,
            workers_per_trial=self.workers_per_trial,
            cpus_per_trial=self.cpus_per_trial,
            gpu_type=self.gpu_type,
        )

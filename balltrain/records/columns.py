"""Names of a sweep's tables and of their columns, and the words in their columns `status` and `decision`."""

from enum import StrEnum
from typing import Final

from balltrain.training.rows import TRAIN_PREFIX

TRIALS_FILE, EPOCHS_FILE = "trials.parquet", "epochs.parquet"
TABLES_VERSION = 1  # higher when a column changes its meaning or goes; one more column is no new version
VERSION_MARK = b"balltrain.tables"  # in the Parquet metadata of both

# both tables
SWEEP = "sweep"  # name of the sweep
TRIAL_ID = "trial_id"  # the trial's number, zero-padded: the name of its checkpoint folder

# trials.parquet: one row a trial
TASK = "task"
NUMBER = "number"  # from 0, in the order of proposal
STATUS = "status"  # a Status
OBJECTIVE = "objective"  # the best value over the trial's epochs
BEST_EPOCH = "best_epoch"  # the epoch that had it, from 1
EPOCHS = "epochs"  # epochs trained
SECONDS: Final = "seconds"  # spent in these epochs
STARTED_AT = "started_at"  # UTC
ENDED_AT = "ended_at"  # UTC
ERROR = "error"  # first line of what went wrong, or the constraint that is broken
CHECKPOINT = "checkpoint"  # its folder, where it is kept: of the best, and of those that run
NODE = "node"  # host of the last attempt
SEED = "seed"  # of initialisation, shuffling, dropout and augmentation
NUM_PARAMS = "num_params"  # of the model
LATENCY = "latency_seconds"  # of a prediction of one item, where the sweep asks for it
DATA_FINGERPRINT = "data_fingerprint"  # SHA-256 of the data trained on
FOLD = "fold"  # the fold that validated, from 0, in a cross-validation
DIGEST = "digest"  # of what optimiser and model really got: training/digest.py
FIRST_LOSS = "first_loss"  # of the first batch, with a seed that all trials share
START = "start"  # number of the initialisation that was trained, from 0, where there was a choice
CONTINUED_AFTER = "continued_after"  # epochs of the search, where the trial went on after it
SAME_AS = "same_as"  # trial_id of an earlier one with the same configuration: it was not trained again
CONFIRMS = "confirms"  # trial_id of the searched trial that this one repeats with a new seed
STOPPED_BY = "stopped_by"  # who stopped it by `balltrain stop`, and for what; the last column

# epochs.parquet: one row an epoch
EPOCH: Final = "epoch"  # from 1
LR: Final = "lr"  # learning rate of the epoch's last batch
TRAIN_LOSS: Final = "train_loss"  # mean over the epoch, while the weights moved
VAL_LOSS: Final = "val_loss"  # after the epoch, on the validation split
DECISION: Final = "decision"  # a Decision
REPORTED_AT = "reported_at"  # UTC: when the epoch had ended

CONFIG_PREFIX = "config."  # one column a hyperparameter
JSON_MARK = b"json"  # in the Parquet metadata of a column of hyperparameters that holds JSON text
# one column a metric of the task, and `train_` and its name where the training batches have it too; in trials.parquet
# at the best epoch
METRIC_PREFIX = "metric."


def training_column(column: str) -> str | None:
    """The column with the training batches' figure of an objective's column; None for that of the training loss."""
    if column in (VAL_LOSS, TRAIN_LOSS):
        return TRAIN_LOSS if column == VAL_LOSS else None
    return METRIC_PREFIX + TRAIN_PREFIX + column.removeprefix(METRIC_PREFIX)


class Status(StrEnum):
    """What has become of a trial; as text in journal, tables and JSON."""

    RUNNING = "running"  # or the sweep was killed while it was
    COMPLETED = "completed"  # all its epochs, or out of patience
    STOPPED = "stopped"  # by the scheduler
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # by Ctrl-C; goes on when the sweep is resumed
    PAUSED = "paused"  # at a milestone, with its checkpoint, until its future is worth the epochs
    INFEASIBLE = "infeasible"  # it breaks a constraint: before its first epoch, or at its last one

    @property
    def has_ended(self) -> bool:
        """For good, unless a second stage continues it."""
        return self in (Status.COMPLETED, Status.STOPPED, *NEVER_BEST)


class Decision(StrEnum):
    """What follows from the row of an epoch."""

    CONTINUE = "continue"
    STOP = "stop"  # the scheduler's rung was lost
    COMPLETE = "complete"  # the last epoch of the budget
    INTERRUPT = "interrupt"
    FAIL = "fail"  # the objective was not finite
    PAUSE = "pause"  # at a milestone: another trial runs in its place
    INFEASIBLE = "infeasible"  # a figure of the epoch breaks a constraint

    @property
    def status(self) -> Status:
        """Of the trial from then on."""
        return _STATUS_AFTER[self]


NEVER_BEST = (Status.FAILED, Status.INFEASIBLE)  # whatever their objective was
WITHOUT_OBJECTIVE = (Decision.FAIL, Decision.INFEASIBLE)  # rows that say nothing of how good a trial is
_STATUS_AFTER = {
    Decision.CONTINUE: Status.RUNNING,
    Decision.STOP: Status.STOPPED,
    Decision.COMPLETE: Status.COMPLETED,
    Decision.INTERRUPT: Status.INTERRUPTED,
    Decision.FAIL: Status.FAILED,
    Decision.PAUSE: Status.PAUSED,
    Decision.INFEASIBLE: Status.INFEASIBLE,
}

"""The errors a user can cause. The command line shows them as one `error: …` line."""

EXIT_INTERRUPTED = 130  # as a shell has it for Ctrl-C


class BalltrainError(Exception):
    """Something is wrong in a way the user can mend. The message says what and how; exit code 1.

    Whatever balltrain's functions raise on purpose is one of these.

    Example:
        >>> try:
        ...     balltrain.load("frist")
        ... except balltrain.BalltrainError as error:
        ...     print(error)
        no sweep 'frist' in runs: did you mean first?
    """

    exit_code = 1


class StorageError(BalltrainError):
    """Disk or object storage cannot be written: no trial's fault; the sweep can be resumed later."""


class NodeError(StorageError):
    """A node that joined a sweep cannot run its trials: no trial's fault either, and the same for each next one."""


class UsageError(BalltrainError):
    """What was typed is wrong: an unknown name, a value outside its range. Exit code 2.

    Example:
        >>> try:
        ...     balltrain.sweep("detect_heatmap", trails=20)
        ... except balltrain.UsageError as error:
        ...     print(error)
        balltrain.sweep() has no 'trails': did you mean trials?
    """

    exit_code = 2

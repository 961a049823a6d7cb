"""The errors a user can cause. The command line shows them as one `error: …` line."""

import errno

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


class SweepStopped(BalltrainError):
    """A sweep ended before its time, by no fault of what it trains: what is recorded stays, and it can be resumed."""


class UserCodeError(BalltrainError):
    """A user's own code has raised something: the message says where, `kinds` are the names of its classes.

    The exception itself is its cause (`__cause__`), in the process where it was raised.
    """

    kinds: tuple[str, ...] = ()


class ReportError(UserCodeError):
    """A user's own code has reported or saved what cannot be. It would again: nothing is retried."""

    kinds = ("ValueError",)


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


_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def advice_on(error: OSError) -> str | None:
    """What a user can do about the machine that an OSError comes from, in one line; None where it is not known."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{what}: allow more open files, `ulimit -n 4096`"
    if error.errno in _FULL:
        return f"{what}: free some space, or choose another folder"
    if error.errno in _REFUSED and error.filename:
        return f"{what}: make it writable, or choose another folder"
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # Python's tempfile
        return f"{what}: set TMPDIR to a folder that can be written"
    return None

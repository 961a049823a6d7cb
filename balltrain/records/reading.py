"""Reads the files of a sweep: `sweep.json` and the two tables. What is damaged, or of another version, is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.storage import SWEEP_FILE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq


def is_sweep(folder: Path) -> bool:
    return (folder / SWEEP_FILE).is_file()


def read_sweep(folder: Path) -> dict[str, Any]:
    """The contents of sweep.json."""
    path = folder / SWEEP_FILE
    try:
        sweep = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BalltrainError(_damaged(path, error)) from error
    if not isinstance(sweep, dict):
        raise BalltrainError(_damaged(path, "it holds no object"))
    return sweep


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Of the columns those that are there: an older version's table may lack one. All unless given."""
    import pyarrow as pa

    file = _opened(path)
    _check_version(file, path)
    if columns is not None:
        columns = [name for name in columns if name in file.schema_arrow.names]
    try:
        return file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise BalltrainError(_damaged(path, error)) from error


def check_table(path: Path) -> None:
    """Raises BalltrainError for a table that cannot be read, without reading its rows."""
    _check_version(_opened(path), path)


def data_frame(table: pa.Table) -> pd.DataFrame:
    """Integers and truth values nullable, so that an empty cell does not make floats of the others."""
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def _opened(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise BalltrainError(_damaged(path, error)) from error


def _check_version(file: pq.ParquetFile, path: Path) -> None:
    """Raises BalltrainError for a table of a newer version, or one that lacks what every version writes."""
    version = int((file.schema_arrow.metadata or {}).get(c.VERSION_MARK, b"1"))
    if version > c.TABLES_VERSION:
        raise BalltrainError(
            f"{path} is of version {version}, this balltrain reads up to {c.TABLES_VERSION}: upgrade balltrain"
        )
    needed = (c.TRIAL_ID, c.STATUS, c.OBJECTIVE) if path.name == c.TRIALS_FILE else (c.TRIAL_ID, c.EPOCH, c.VAL_LOSS)
    for column in needed:
        if column not in file.schema_arrow.names:
            raise BalltrainError(
                f"{path} has no column {column!r}: it was not written by balltrain, or by another version"
            )


def _damaged(path: Path, error: Exception | str) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"cannot read {path} ({reason}): the journal holds the same, the sweep with --resume writes it anew"

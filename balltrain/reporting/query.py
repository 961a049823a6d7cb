"""Choosing, ordering and comparing trials by what a user types: conditions and orders are DuckDB's SQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from balltrain.errors import BalltrainError, UsageError
from balltrain.records import columns as c
from balltrain.records.results import Results


def select(results: Results, where: str | None, sort: str | None) -> Results:
    """The results of the trials that fulfil `where`, in the order `sort`: the best first unless given.

    Both use the columns of trials.parquet; `config.lr` needs no quotes. Raises UsageError that quotes what is wrong.
    """
    import duckdb
    import pandas as pd
    import pyarrow as pa

    trials = pd.concat([results.ranked, results.trials.drop(results.ranked.index)])
    if where is None and sort is None:
        return replace(results, trials=trials)
    connection = duckdb.connect(config={"enable_external_access": False})
    connection.register("stored", pa.Table.from_pandas(trials, preserve_index=False))
    structs = [
        f"struct_pack({', '.join(f'{_quoted(name.removeprefix(prefix))} := {_quoted(name)}' for name in names)})"
        f" AS {prefix.removesuffix('.')}"  # `config.lr` is then a field of `config`
        for prefix in (c.CONFIG_PREFIX, c.METRIC_PREFIX)
        if (names := [name for name in trials.columns if name.startswith(prefix)])
    ]
    columns = ", ".join(["*", *structs, "row_number() OVER () - 1 AS _row"])
    query = f"SELECT _row FROM (SELECT {columns} FROM stored) AS trials"
    rows: list[tuple[int, ...]] = []
    for option, text, clause in (("--where", where, f"WHERE ({where})"), ("--sort", sort, f"ORDER BY {sort}, _row")):
        if text is None:
            continue
        query += f" {clause}"
        try:
            rows = connection.execute(query if sort and option == "--sort" else f"{query} ORDER BY _row").fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            known = [c.STATUS, c.OBJECTIVE, c.EPOCHS, c.SECONDS, *results.metrics, *results.varied]
            raise UsageError(f"{option} {text!r}: {reason}; columns are {', '.join(known)}, …") from None
    return replace(results, trials=trials.iloc[[row for (row,) in rows]], where=where, sort=sort)


def write_csv(results: Results, path: Path) -> None:
    """All rows of `trials` in their order. Raises BalltrainError where the file cannot be written."""
    try:
        results.trials.to_csv(path, index=False)
    except OSError as error:
        raise BalltrainError(f"cannot write {path}: {error.strerror or error}; choose another --csv") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

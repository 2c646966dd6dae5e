"""Features in the cache: memory-mapped Arrow, by a hash of the rows and of all that makes features of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.cache import FEATURES, FORMAT, cached
from lmkit.kinds.task import Features, Ragged


def cache_key(table: pa.Table, columns: list[str], *settings: Any) -> str:
    """A hash of the rows' values in these columns and of all that makes features of them."""
    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps([FORMAT, *settings], sort_keys=True, default=str).encode())
    for name in columns:
        values = table[name].combine_chunks()
        for buffer in pa.concat_arrays([values]).buffers():  # without the offset of a slice
            found.update((-1 if buffer is None else buffer.size).to_bytes(8, "little", signed=True))
            found.update(b"" if buffer is None else memoryview(buffer))
    return found.hexdigest()


def cached_features(key: str, make: Callable[[], Features]) -> tuple[Features, bool]:
    """The features stored under `key`, and whether they were there; where not, one process makes and stores them."""
    return cached(FEATURES, f"{key}.arrow", _read, make, lambda features: partial(_write, features=features))


def _write(path: Path, features: Features) -> None:
    columns: dict[str, pa.Array] = {"weight": pa.array(features.weight), "cut": pa.array(features.cut)}
    for name, column in features.columns.items():
        if isinstance(column, Ragged):
            columns[f"list:{name}"] = pa.LargeListArray.from_arrays(pa.array(column.offsets), pa.array(column.values))
        else:
            columns[f"number:{name}"] = pa.array(column)
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, table.num_rows))


def _read(content: pa.Buffer) -> Features | None:
    """Return the stored features, memory-mapped; None where these are not such features as this lmkit writes."""
    try:
        table = pa.ipc.open_file(pa.BufferReader(content)).read_all().combine_chunks()
        columns: dict[str, Ragged | NDArray[np.int64]] = {}
        for name in table.column_names:
            kind, _, rest = name.partition(":")
            array = table[name].combine_chunks()
            if kind == "list":
                columns[rest] = Ragged(array.values.to_numpy(), array.offsets.to_numpy())
            elif kind == "number":
                columns[rest] = array.to_numpy()
        return Features(columns, table["weight"].to_numpy(), table["cut"].to_numpy())
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError):
        return None

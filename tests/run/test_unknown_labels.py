"""Rows whose labels a model does not know are counted, each once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from lmkit.builtin.tasks.config import TokenClassificationConfig
from lmkit.data.inputs import input_rows
from lmkit.errors import DataError
from lmkit.kinds.data import DataConfig
from lmkit.run.measurement import Elsewhere, _with_known_labels

TASK = TokenClassificationConfig(use="token-classification")


def test_a_row_with_several_unknown_tags_is_left_out_once() -> None:
    trained: Any = SimpleNamespace(labels=("B-X", "O"), recipe=SimpleNamespace(task=TASK))
    tags = [["O", "B-X"], ["B-Y", "I-Y", "B-Y"], ["I-Y", "B-Y"], ["O", "Z"]]
    table = pa.table({"tokens": tags, "tags": tags})
    elsewhere = Elsewhere(DataConfig(use="none"), Path(), "other", drops_unknown=True)

    kept, left_out = _with_known_labels({"other": table}, trained, elsewhere)

    assert kept["other"].num_rows == 1
    assert left_out == {"B-Y, I-Y": 2, "Z": 1}


def test_a_doubled_column_of_rows_to_answer_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["tokens", "id", "id"])
    recipe: Any = SimpleNamespace(task=TASK, data=DataConfig(use="none"))

    with pytest.raises(DataError, match=r"rows\.parquet has more than one column 'id'; rename or remove one"):
        input_rows(table, recipe, {}, "rows.parquet")

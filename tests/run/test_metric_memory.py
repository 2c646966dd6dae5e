"""The memory that metrics of many labels take, and what is said where it runs out."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lmkit.builtin.metrics.classification import build_confusion_matrix
from lmkit.builtin.metrics.config import ConfusionMatrixConfig
from lmkit.errors import ResourceError
from lmkit.kinds.metric import Columns
from lmkit.run.parts import NamedMetric

CLASSES = 500
LABELS = tuple(f"label {number}" for number in range(CLASSES))


class Pairs:
    """A plugin's table of K numbers a row, without a total of its own."""

    def __init__(self, size: int, error: Exception | None = None) -> None:
        self.size = size
        self.error = error

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return np.ones((len(references), self.size))

    def compute(self, total: np.ndarray) -> dict[str, float]:
        return {}

    def table(self, total: np.ndarray) -> dict[str, Any]:
        return {"sum": total.sum()}


def peak(metric: Any, rows: int) -> tuple[int, np.ndarray]:
    """The most bytes that the metric's sum takes at once, and the sum."""
    references = [LABELS[row % CLASSES] for row in range(rows)]
    predictions = [LABELS[row * 7 % CLASSES] for row in range(rows - 1)] + ["none of them"]
    tracemalloc.start()
    found = NamedMetric("table", (), metric).statistics({"prediction": predictions}, references)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most, found


def test_a_confusion_matrix_takes_the_memory_of_its_counts_however_many_the_rows() -> None:
    most, found = peak(build_confusion_matrix(ConfusionMatrixConfig(use="confusion-matrix"), labels=LABELS), 2000)

    counts = found.reshape(CLASSES, CLASSES + 1)
    assert most < 4 * 8 * CLASSES * (CLASSES + 1)
    assert counts.sum() == 2000 and counts[:, -1].sum() == 1
    assert counts[3, 21] == 4  # rows 3, 503, 1003 and 1503


def test_a_plugins_table_is_summed_over_as_many_rows_as_fit() -> None:
    most, found = peak(Pairs(200_000), 300)  # 480 MB in all

    assert most < 100e6
    assert found.shape == (1, 200_000) and (found == 300).all()


@pytest.mark.parametrize("measures", [(), ("pairs",)])
def test_memory_that_a_metric_lacks_is_not_blamed_on_a_batch(measures: tuple[str, ...]) -> None:
    metric: Any = Pairs(1, MemoryError("Unable to allocate 59.6 GiB"))

    with pytest.raises(ResourceError, match=r"memory ran out while metric 'pairs' measured 2 rows\. Leave it out"):
        NamedMetric("pairs", measures, metric).statistics({"prediction": ["a", "b"]}, ["a", "b"])

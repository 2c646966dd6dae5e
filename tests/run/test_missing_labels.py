"""A label that no row of a split has is named beside the means over the labels, and beside the split."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from lmkit.cli.tables import result_table
from lmkit.data.ledger import Ledger, SplitAccount
from lmkit.kinds.metric import MetricConfig
from lmkit.plugins import installed_plugins
from lmkit.records.record import Interval, SplitResult
from lmkit.run.parts import NamedMetric, build_metric, missing_labels

LABELS = ("negative", "neutral", "positive")


def metric(use: str, **settings: Any) -> NamedMetric:
    catalog = installed_plugins().catalog
    config = catalog.find("metric", use).component.config.model_validate({"use": use, **settings})
    assert isinstance(config, MetricConfig)
    return build_metric(config, LABELS, catalog)


@pytest.mark.parametrize(
    ("metrics", "references", "note"),
    [
        (
            [metric("accuracy"), metric("f1")],
            ["negative", "positive"],
            "no row has 'neutral': macro f1 says nothing about it",
        ),
        (
            [metric("recall"), metric("balanced-accuracy")],
            [["positive"], []],
            "no row has 'negative', 'neutral': macro recall and balanced accuracy say nothing about them",
        ),
        ([metric("auroc")], ["positive"], "no row has 'negative', 'neutral': auroc says nothing about them"),
        ([metric("f1")], list(LABELS), None),
        ([metric("accuracy"), metric("f1", average="micro"), metric("mcc")], ["positive"], None),
        ([metric("average-precision", label="positive")], ["positive"], None),
    ],
)
def test_means_over_labels_are_noted_where_a_label_is_missing(
    metrics: list[NamedMetric], references: list[Any], note: str | None
) -> None:
    assert missing_labels(metrics, LABELS, references) == note


def test_the_note_is_below_the_table() -> None:
    result = SplitResult(
        rows=2, measures={"macro_f1": Interval(value=1.0)}, baselines={}, rate=1, notes=("no row has '[neg]'",)
    )
    console = Console(width=80)

    with console.capture() as captured:
        console.print(result_table("test", result))

    assert "no row has '[neg]'" in captured.get()


def test_the_ledger_names_the_labels_that_a_split_lacks() -> None:
    ledger = Ledger(
        12,
        splits={
            "train": SplitAccount(8, dict.fromkeys("abcde", 1)),
            "validation": SplitAccount(2, {"a": 2}),
            "test": SplitAccount(2, dict.fromkeys("abcde", 1)),
        },
        notes=("3 rows without 'film' (data.split.group), each placed by itself",),
    )

    assert ledger.lines() == [
        "12 rows read = 12 kept",
        "train 8, validation 2 (no row with 'b', 'c', 'd' and 1 other label), test 2",
        "noticed: 3 rows without 'film' (data.split.group), each placed by itself",
    ]

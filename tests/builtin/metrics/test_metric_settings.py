"""What recipes may write for the built-in metrics, and what their measures are called."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from lmkit.builtin.metrics.config import (
    AccuracyConfig,
    BleuConfig,
    ChrfConfig,
    ConfusionMatrixConfig,
    ExactMatchConfig,
    F1Config,
    MccConfig,
    PrecisionConfig,
    RecallConfig,
    SpanF1Config,
)
from lmkit.kinds.metric import MetricConfig


@pytest.mark.parametrize(
    ("config", "measures"),
    [
        (AccuracyConfig(use="accuracy"), ("accuracy",)),
        (F1Config(use="f1"), ("macro_f1",)),
        (F1Config(use="f1", average="micro"), ("micro_f1",)),
        (PrecisionConfig(use="precision", average="weighted"), ("weighted_precision",)),
        (RecallConfig(use="recall"), ("macro_recall",)),
        (MccConfig(use="mcc"), ("mcc",)),
        (ConfusionMatrixConfig(use="confusion-matrix"), ()),
        (SpanF1Config(use="span-f1"), ("span_f1", "span_precision", "span_recall")),
        (BleuConfig(use="bleu"), ("bleu",)),
        (ChrfConfig(use="chrf", word_order=2), ("chrf",)),
        (ExactMatchConfig(use="exact-match"), ("exact_match",)),
    ],
)
def test_measures_are_named_after_the_metric_and_its_average(config: MetricConfig, measures: tuple[str, ...]) -> None:
    assert config.measures == measures
    assert config.direction == "max"


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (F1Config, {"use": "f1", "average": "binary"}),
        (F1Config, {"use": "precision"}),
        (AccuracyConfig, {"use": "accuracy", "average": "macro"}),
        (BleuConfig, {"use": "bleu", "tokenize": "flores200"}),
        (BleuConfig, {"use": "bleu", "lowercase": 1}),
        (ChrfConfig, {"use": "chrf", "word_order": 3}),
        (ChrfConfig, {"use": "chrf", "word_order": True}),
        (AccuracyConfig, {}),
    ],
)
def test_settings_that_mean_nothing_are_faults(config: type[MetricConfig], settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config.model_validate(settings)


def test_reading_the_settings_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import sys, lmkit.builtin.metrics.config; print({'torch', 'numpy', 'scipy', 'sacrebleu'} & set(sys.modules))"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "set()"

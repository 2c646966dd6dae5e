"""Metrics of text against one or several reference texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmkit.builtin.metrics.config import BleuConfig, ChrfConfig, ExactMatchConfig
from lmkit.errors import DataError, PluginError, UsageError
from lmkit.kinds.metric import PREDICTION, AdditiveMetric, Columns

Numbers = NDArray[np.float64]


def build_bleu(config: BleuConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """sacreBLEU's corpus BLEU: its statistics are a text's lengths and n-gram matches."""
    _refuse_labels(labels, config.use)
    return _sacrebleu("BLEU", "bleu", tokenize=config.tokenize, lowercase=config.lowercase)


def build_chrf(config: ChrfConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """sacreBLEU's corpus chrF: its statistics are a text's character and word n-gram matches."""
    _refuse_labels(labels, config.use)
    return _sacrebleu("CHRF", "chrf", word_order=config.word_order)


def build_exact_match(config: ExactMatchConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """Texts that equal one of their references, but for white space at the ends, over all texts."""
    _refuse_labels(labels, config.use)
    return _ExactMatch()


@dataclass(frozen=True, slots=True)
class _SacreBleu:
    """Statistics: those of each text that the scorer of sacreBLEU itself adds up for a corpus."""

    scorer: Any
    measure: str
    size: int

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        texts, several = _texts(predictions[PREDICTION], references)
        if not texts:
            return np.zeros((0, self.size))
        streams = list(zip_longest(*several))  # sacreBLEU wants the first references, the second ones, ...
        return np.array(self.scorer._extract_corpus_statistics(texts, streams), np.float64)

    def compute(self, total: Numbers) -> Mapping[str, float]:
        counts = np.rint(total).astype(np.int64).tolist()
        return {self.measure: float(self.scorer._compute_score_from_stats(counts).score)}


@dataclass(frozen=True, slots=True)
class _ExactMatch:
    """Statistics: equal texts, texts."""

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        texts, several = _texts(predictions[PREDICTION], references)
        counts = np.ones((len(texts), 2))
        pairs = zip(texts, several, strict=True)
        counts[:, 0] = [text.strip() in {reference.strip() for reference in known} for text, known in pairs]
        return counts

    def compute(self, total: Numbers) -> Mapping[str, float]:
        equal, count = total
        return {"exact_match": float(equal / count) if count else 0.0}


def _refuse_labels(labels: Sequence[str], metric: str) -> None:
    if labels:
        raise UsageError(f"metrics: {metric!r} compares texts, and this task predicts labels; accuracy and f1 do that")


def _sacrebleu(scorer: str, measure: str, **settings: Any) -> AdditiveMetric:
    """Raises PluginError at once, and not after training, where sacreBLEU is missing or works differently."""
    try:
        metric = getattr(import_module("sacrebleu.metrics"), scorer)(**settings)
        (probe,) = metric._extract_corpus_statistics(["a text"], [["a text"]])
        metric._compute_score_from_stats(list(probe)).score  # noqa: B018
    except ImportError as cause:
        raise PluginError(f"metric {measure!r} needs sacrebleu: pip install 'sacrebleu>=2.4' ({cause})") from cause
    except (AttributeError, TypeError, ValueError) as cause:
        raise PluginError(
            f"metric {measure!r} cannot use the installed sacrebleu, which gives no statistics of single texts as "
            f"2.4 to 2.6 do: pip install 'sacrebleu>=2.4,<2.7' ({cause})"
        ) from cause
    return _SacreBleu(metric, measure, len(probe))


def _texts(predictions: Sequence[Any], references: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """The predicted texts, and the reference texts of each, one or several."""
    if len(predictions) != len(references):
        raise PluginError(f"the task gave {len(predictions)} predictions for {len(references)} rows")
    several = [[reference] if isinstance(reference, str) else list(reference or ()) for reference in references]
    for row, (text, known) in enumerate(zip(predictions, several, strict=True)):
        if not isinstance(text, str):
            raise PluginError(f"the task predicted {type(text).__name__} for row {row}, where a text was expected")
        if not known or not all(isinstance(reference, str) for reference in known):
            raise DataError(f"row {row} of those to be measured has no reference text; leave such rows out (data.keep)")
    return list(predictions), several

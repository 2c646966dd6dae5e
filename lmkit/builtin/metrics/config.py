"""The settings of the built-in metrics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmkit.kinds.metric import Answer, MetricConfig

LABELS: tuple[Answer, ...] = ("a label", "tags")


class AccuracyConfig(MetricConfig):
    """Share of the labels that are right: one label a row, or one tag a word."""

    use: Literal["accuracy"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS


class AveragedConfig(MetricConfig):
    """What precision, recall and F1 have in common. Where there is nothing to divide by, a class has 0."""

    average: Literal["macro", "micro", "weighted"] = "macro"
    """How the classes make one number: `macro` counts each alike (those that occur in neither references nor
    predictions left out), `weighted` counts each by its references, `micro` counts each label alike and so is
    the accuracy."""

    @property
    def measures(self) -> tuple[str, ...]:
        return (f"{self.average}_{self.use}",)


class PrecisionConfig(AveragedConfig):
    """Of the labels predicted as a class, the share that is of that class."""

    use: Literal["precision"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS


class RecallConfig(AveragedConfig):
    """Of the labels of a class, the share that is predicted as such."""

    use: Literal["recall"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS


class F1Config(AveragedConfig):
    """Harmonic mean of precision and recall, class by class (van Rijsbergen, 1979)."""

    use: Literal["f1"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS


class MccConfig(MetricConfig):
    """Matthews' correlation of labels and predictions, for any number of classes (Gorodkin, 2004).

    1 is perfect, 0 is chance, however rare a class may be; 0 too where either side holds one class only.
    """

    use: Literal["mcc"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS


class ConfusionMatrixConfig(MetricConfig):
    """How often each label was predicted as each other: a table beside the numbers, and no number itself."""

    use: Literal["confusion-matrix"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS

    @property
    def measures(self) -> tuple[str, ...]:
        return ()


class SpanF1Config(MetricConfig):
    """F1, precision and recall of whole spans read from BIO tags, as the conlleval script of CoNLL-2000 counts them.

    A span is right when its first word, last word and type are; all spans count alike.
    """

    use: Literal["span-f1"]

    answers: ClassVar[tuple[Answer, ...]] = ("tags",)

    @property
    def measures(self) -> tuple[str, ...]:
        return ("span_f1", "span_precision", "span_recall")


class BleuConfig(MetricConfig):
    """Corpus BLEU, from 0 to 100 (Papineni et al., 2002), computed by sacreBLEU (Post, 2018)."""

    use: Literal["bleu"]

    answers: ClassVar[tuple[Answer, ...]] = ("text",)

    tokenize: Literal["13a", "zh", "char", "intl", "none"] = "13a"
    """How texts are split into words. `13a` is what papers report; `zh` for Chinese; `intl` knows more of Unicode's
    punctuation; `char` counts characters; `none` for text that is tokenised already."""

    lowercase: bool = False
    """Compare without regard to upper and lower case."""


class ChrfConfig(MetricConfig):
    """Corpus chrF, from 0 to 100: F2 of character n-grams (Popović, 2015), computed by sacreBLEU (Post, 2018)."""

    use: Literal["chrf"]

    answers: ClassVar[tuple[Answer, ...]] = ("text",)

    word_order: Annotated[int, Field(ge=0, le=2)] = 0
    """Longest word n-grams counted beside the characters': 0 is chrF, 2 is chrF++."""


class ExactMatchConfig(MetricConfig):
    """Share of the texts equal to their reference (to any of them), character by character."""

    use: Literal["exact-match"]

    answers: ClassVar[tuple[Answer, ...]] = ("text",)

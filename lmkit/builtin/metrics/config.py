"""The settings of the built-in metrics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmkit.kinds.metric import Answer, Direction, MetricConfig

LABELS: tuple[Answer, ...] = ("a label", "tags")

PROBABILITIES = "probabilities"
"""The column of predictions that has the probability of each label, in the order of the labels."""


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
    def over_labels(self) -> bool:
        return self.average == "macro"

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


class BalancedAccuracyConfig(MetricConfig):
    """Mean of the labels' recalls: each label that occurs in the references counts alike (Brodersen et al., 2010)."""

    use: Literal["balanced-accuracy"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS

    @property
    def over_labels(self) -> bool:
        return True


class CohenKappaConfig(MetricConfig):
    """Agreement with the references beyond chance (Cohen, 1960; weighted: 1968): 1 is perfect, 0 is chance."""

    use: Literal["cohen-kappa"]

    answers: ClassVar[tuple[Answer, ...]] = LABELS

    weights: Literal["none", "linear", "quadratic"] = "none"
    """What a wrong label costs: all the same, or its distance from the right one, or that squared. The last two are
    for labels with an order, such as stars: numbers are ordered as numbers, other labels by the alphabet."""


class LogLossConfig(MetricConfig):
    """Mean of -log p of the right labels, in nats: 0 is certain and right, log(C) is the same for each of C labels."""

    use: Literal["log-loss"]

    direction: ClassVar[Direction] = "min"
    reads: ClassVar[tuple[str, ...]] = (PROBABILITIES,)
    answers: ClassVar[tuple[Answer, ...]] = LABELS


class BrierConfig(MetricConfig):
    """Mean squared distance of the probabilities from certainty about the right label (Brier, 1950).

    0 is certain and right. Certain and wrong is 1 with two labels, 2 with more.
    """

    use: Literal["brier"]

    direction: ClassVar[Direction] = "min"
    reads: ClassVar[tuple[str, ...]] = (PROBABILITIES,)
    answers: ClassVar[tuple[Answer, ...]] = LABELS


class CalibrationErrorConfig(MetricConfig):
    """Expected calibration error (Naeini et al., 2015): how far the confidence in the likeliest label is from the share
    of such labels that is right, over bins of equal width, each weighted by its labels. 0 is calibrated."""

    use: Literal["calibration-error"]

    direction: ClassVar[Direction] = "min"
    reads: ClassVar[tuple[str, ...]] = (PROBABILITIES,)
    answers: ClassVar[tuple[Answer, ...]] = LABELS

    bins: Annotated[int, Field(ge=1, le=1000)] = 15
    """Bins between the confidences 0 and 1."""

    @property
    def measures(self) -> tuple[str, ...]:
        return ("ece",)


class TopKAccuracyConfig(MetricConfig):
    """Share of the labels that are among the k likeliest."""

    use: Literal["top-k-accuracy"]

    reads: ClassVar[tuple[str, ...]] = (PROBABILITIES,)
    answers: ClassVar[tuple[Answer, ...]] = LABELS

    k: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """How many of the likeliest labels count as right."""

    @property
    def measures(self) -> tuple[str, ...]:
        return (f"top_{self.k}_accuracy",)


class AurocConfig(MetricConfig):
    """Area under the ROC curve: how often a row with a label is given a higher probability of it than a row without it.

    1 is perfect, 0.5 is chance. The mean over all labels, each against the others; a label that all rows have, or none,
    is left out.
    """

    use: Literal["auroc"]

    reads: ClassVar[tuple[str, ...]] = (PROBABILITIES,)
    answers: ClassVar[tuple[Answer, ...]] = ("a label",)

    @property
    def over_labels(self) -> bool:
        return True


class AveragePrecisionConfig(MetricConfig):
    """Area under the curve of precision and recall: the mean precision at each row with the label, the likeliest first.

    1 is perfect; the label's share of the rows is chance. A label that all rows have, or none, is left out.
    """

    use: Literal["average-precision"]

    reads: ClassVar[tuple[str, ...]] = (PROBABILITIES,)
    answers: ClassVar[tuple[Answer, ...]] = ("a label",)

    label: str | None = None
    """The label that counts, such as the rare one that is looked for. By default the mean over all labels."""

    @property
    def over_labels(self) -> bool:
        return self.label is None


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
    """Share of the texts equal to their reference (to any of them), character by character.

    White space at both ends counts on neither side, because tokenizers lose it.
    """

    use: Literal["exact-match"]

    answers: ClassVar[tuple[Answer, ...]] = ("text",)

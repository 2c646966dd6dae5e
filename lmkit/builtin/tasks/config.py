"""Settings of the tasks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead, TokenHead
from lmkit.kinds.metric import Answer
from lmkit.kinds.task import Column, TaskConfig

Smoothing = Annotated[float, Field(ge=0, lt=1)]


class TextClassificationConfig(TaskConfig):
    """One label for each text: sentiment, topic, intent."""

    use: Literal["text-classification"]

    label_smoothing: Smoothing = 0.0
    """Share of the target's probability that is spread over all labels in training (Szegedy et al., 2016).
    Validation and evaluation measure the plain loss; metrics.jsonl has the smoothed one as `train/training_loss`."""

    columns: ClassVar[tuple[Column, ...]] = (Column("text", "text", "input"), Column("label", "label", "target"))
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1")
    head_type: ClassVar[type[Head] | None] = SequenceHead
    answer: ClassVar[Answer | None] = "a label"
    predicts: ClassVar[tuple[str, ...]] = ("prediction", "probabilities", "logits")


class TokenClassificationConfig(TaskConfig):
    """One label for each word: named entities in BIO tags, parts of speech."""

    use: Literal["token-classification"]

    label_smoothing: Smoothing = 0.0
    """Share of the target's probability that is spread over all labels in training (Szegedy et al., 2016).
    Validation and evaluation measure the plain loss; metrics.jsonl has the smoothed one as `train/training_loss`."""

    columns: ClassVar[tuple[Column, ...]] = (Column("tokens", "words", "input"), Column("tags", "tags", "target"))
    metrics: ClassVar[tuple[str, ...]] = ("span-f1", "accuracy")
    head_type: ClassVar[type[Head] | None] = TokenHead
    answer: ClassVar[Answer | None] = "tags"


class TranslationConfig(TaskConfig):
    """A target text for each source text, written token by token."""

    use: Literal["translation"]

    label_smoothing: Smoothing = 0.1
    """Share of the target's probability that is spread over the vocabulary in training (Szegedy et al., 2016).
    Validation and evaluation measure the plain loss; metrics.jsonl has the smoothed one as `train/training_loss`."""

    max_target_length: Annotated[int, Field(ge=4)] = 128
    """Tokens of one target at most, special tokens included: training targets are cut there, writing stops there."""

    columns: ClassVar[tuple[Column, ...]] = (Column("source", "text", "input"), Column("target", "text", "target"))
    metrics: ClassVar[tuple[str, ...]] = ("bleu", "chrf")
    head_type: ClassVar[type[Head] | None] = Seq2SeqHead
    answer: ClassVar[Answer | None] = "text"
    one_answer: ClassVar[bool] = False

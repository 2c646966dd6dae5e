"""Text classification: one label for each text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn
from torch.nn import functional as F

from lmkit.builtin.tasks.config import TextClassificationConfig
from lmkit.builtin.tasks.encoding import INPUT_IDS, framed
from lmkit.kinds.heads import SequenceHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Features, Field, Predictions
from lmkit.kinds.tokenizer import Tokenizer


class TextClassification:
    """Rows with a `text` and a `label`; a prediction is a label with the probability of each."""

    fields: Mapping[str, Field] = {"input_ids": INPUT_IDS, "labels": Field()}

    def __init__(self, config: TextClassificationConfig, *, labels: tuple[str, ...]) -> None:
        self.config = config
        self.head = SequenceHead(labels)
        smoothing = config.label_smoothing
        self.training_loss = partial(_cross_entropy, smoothing=smoothing) if smoothing else None

    def encode(self, rows: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
        ids, cut = framed(tokenizer.encode(rows["text"].to_pylist()), tokenizer, self.config.max_length)
        columns: dict[str, Any] = {"input_ids": ids}
        if "label" in rows.column_names:
            numbers = {label: number for number, label in enumerate(self.head.labels)}
            columns["labels"] = np.array([numbers[label] for label in rows["label"].to_pylist()], np.int64)
        return Features(columns, np.ones(rows.num_rows, np.int64), cut)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy of (B, C) logits, summed over the batch."""
        return _cross_entropy(output, batch)

    def predict(self, model: nn.Module, output: Output, batch: Batch) -> Predictions:
        logits = output.logits.float()
        return {
            "prediction": [self.head.labels[number] for number in logits.argmax(-1).tolist()],
            "probabilities": logits.softmax(-1).tolist(),
            "logits": logits.tolist(),
        }

    def references(self, rows: pa.Table) -> list[Any]:
        return list(rows["label"].to_pylist())

    def baselines(self, train: pa.Table | None, rows: pa.Table) -> Mapping[str, list[Any]]:
        """`majority`: the commonest training label, for every row."""
        if train is None:
            return {}
        ((commonest, _),) = Counter(sorted(train["label"].to_pylist())).most_common(1)
        return {"majority": [commonest] * rows.num_rows}


def _cross_entropy(output: Output, batch: Batch, smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(output.logits.float(), batch["labels"], reduction="sum", label_smoothing=smoothing)

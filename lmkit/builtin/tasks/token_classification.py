"""Token classification: one label for each word of a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn
from torch.nn import functional as F

from lmkit.builtin.tasks.config import TokenClassificationConfig
from lmkit.builtin.tasks.encoding import INPUT_IDS, framed
from lmkit.errors import DataError
from lmkit.kinds.heads import TokenHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import IGNORED, Features, Field, Predictions, Ragged
from lmkit.kinds.tokenizer import Tokenizer


class TokenClassification:
    """Rows with `tokens` and as many `tags`; a word's label is predicted at its first piece.

    A word that the length limit cut off, or of which the tokenizer left nothing, is predicted as `O`, or as the first
    label where there is no `O`.
    """

    fields: Mapping[str, Field] = {
        "input_ids": INPUT_IDS,
        "word": Field(-1),
        "word_count": Field(),
        "labels": Field(IGNORED),
    }

    def __init__(self, config: TokenClassificationConfig, *, labels: tuple[str, ...]) -> None:
        self.config = config
        self.head = TokenHead(labels)
        smoothing = config.label_smoothing
        self.training_loss = partial(_cross_entropy, smoothing=smoothing) if smoothing else None
        self._otherwise = "O" if "O" in labels else labels[0]

    def encode(self, rows: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
        sentences = rows["tokens"].to_pylist()
        encoded = tokenizer.encode_words(sentences)
        ids, cut = framed(encoded.ids, tokenizer, self.config.max_length)
        room = self.config.max_length - 2
        words = [[-1, *_first_pieces(numbers[:room]), -1] for numbers in encoded.words]
        columns: dict[str, Any] = {
            "input_ids": ids,
            "word": Ragged.from_lists(words),
            "word_count": np.array([len(sentence) for sentence in sentences], np.int64),
        }
        weight = np.array([sum(word >= 0 for word in row) for row in words], np.int64)
        if "tags" in rows.column_names:
            columns["labels"] = self._labels(rows, words)
        return Features(columns, weight, cut)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy of (B, T, C) logits, summed over the words' first pieces."""
        return _cross_entropy(output, batch)

    def predict(self, model: nn.Module, output: Output, batch: Batch) -> Predictions:
        chosen = output.logits.argmax(-1).tolist()
        predictions = []
        for numbers, words, count in zip(chosen, batch["word"].tolist(), batch["word_count"].tolist(), strict=True):
            tags = [self._otherwise] * count
            for number, word in zip(numbers, words, strict=True):
                if word >= 0:
                    tags[word] = self.head.labels[number]
            predictions.append(tags)
        return {"prediction": predictions}

    def references(self, rows: pa.Table) -> list[Any]:
        return list(rows["tags"].to_pylist())

    def baselines(self, train: pa.Table | None, rows: pa.Table) -> Mapping[str, list[Any]]:
        """`majority`: the commonest training tag for every word. `lookup`: each word's commonest tag in training."""
        if train is None:
            return {}
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        overall: Counter[str] = Counter()
        for tokens, tags in zip(train["tokens"].to_pylist(), train["tags"].to_pylist(), strict=True):
            overall.update(tags)
            for token, tag in zip(tokens, tags, strict=True):
                seen[token][tag] += 1
        commonest = _most(overall)
        known = {token: _most(counts) for token, counts in seen.items()}
        sentences = rows["tokens"].to_pylist()
        return {
            "majority": [[commonest] * len(tokens) for tokens in sentences],
            "lookup": [[known.get(token, commonest) for token in tokens] for tokens in sentences],
        }

    def _labels(self, rows: pa.Table, words: list[list[int]]) -> Ragged:
        numbers = {label: number for number, label in enumerate(self.head.labels)}
        labels = []
        for row, (places, tags, tokens) in enumerate(
            zip(words, rows["tags"].to_pylist(), rows["tokens"].to_pylist(), strict=True)
        ):
            if len(tags) != len(tokens):
                raise DataError(
                    f"row {rows['row'][row].as_py()} has {len(tokens)} tokens and {len(tags)} tags; "
                    "each token needs its tag"
                )
            labels.append([numbers[tags[word]] if word >= 0 else IGNORED for word in places])
        return Ragged.from_lists(labels)


def _cross_entropy(output: Output, batch: Batch, smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(
        output.logits.float().flatten(0, 1),
        batch["labels"].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )


def _first_pieces(words: list[int]) -> list[int]:
    """The word's index at its first piece, -1 at the others."""
    return [word if position == 0 or words[position - 1] != word else -1 for position, word in enumerate(words)]


def _most(counts: Counter[str]) -> str:
    """The commonest, the first by name among equals."""
    return min(counts, key=lambda tag: (-counts[tag], tag))

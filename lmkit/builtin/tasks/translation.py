"""Translation: a target text for each source text, written token by token."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmkit.builtin.tasks.config import TranslationConfig
from lmkit.builtin.tasks.encoding import INPUT_IDS, framed
from lmkit.errors import PluginError
from lmkit.kinds.heads import Seq2SeqHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Features, Field, Predictions
from lmkit.kinds.tokenizer import Tokenizer


class Translation:
    """Rows with a `source` and a `target`; a prediction is the text written greedily, token by likeliest token."""

    fields: Mapping[str, Field] = {"input_ids": INPUT_IDS, "target_ids": Field("target pad", is_length=True)}

    def __init__(self, config: TranslationConfig, *, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> None:
        self.config = config
        self.head = Seq2SeqHead()
        self.tokenizer = target_tokenizer
        smoothing = config.label_smoothing
        self.training_loss = partial(self._cross_entropy, smoothing=smoothing) if smoothing else None

    def encode(self, rows: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
        ids, cut = framed(tokenizer.encode(rows["source"].to_pylist()), tokenizer, self.config.max_length)
        columns: dict[str, Any] = {"input_ids": ids}
        weight = ids.lengths
        if "target" in rows.column_names:
            pieces = target_tokenizer.encode(rows["target"].to_pylist())
            columns["target_ids"], target_cut = framed(pieces, target_tokenizer, self.config.max_target_length)
            cut = cut + target_cut
            weight = columns["target_ids"].lengths - 1  # the begin is given, never predicted
        return Features(columns, weight, cut)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy of (B, U - 1, V) logits with the tokens that follow, summed over all that are no padding."""
        return self._cross_entropy(output, batch)

    def predict(self, model: nn.Module, output: Output, batch: Batch) -> Predictions:
        """Greedy decoding with the model's cache, until every row has ended or the limit is reached."""
        if not hasattr(model, "step"):
            raise PluginError(f"{type(model).__name__} cannot write text: it has no encode and step")
        ids = batch["input_ids"]
        cache = model.encode(batch)  # type: ignore[operator]
        newest = torch.full((len(ids),), self.tokenizer.begin, device=ids.device)
        ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        written = []
        for _ in range(self.config.max_target_length - 1):
            logits, cache = model.step(newest, cache)  # type: ignore[operator]
            newest = logits.argmax(-1).masked_fill(ended, self.tokenizer.pad)
            ended = ended | (newest == self.tokenizer.end)
            written.append(newest)
            if bool(ended.all()):
                break
        return {"prediction": [text.strip() for text in self.tokenizer.decode(torch.stack(written, 1).tolist())]}

    def references(self, rows: pa.Table) -> list[Any]:
        return list(rows["target"].to_pylist())

    def baselines(self, train: pa.Table | None, rows: pa.Table) -> Mapping[str, list[Any]]:
        """`copy`: the source text, untranslated."""
        return {"copy": list(rows["source"].to_pylist())}

    def _cross_entropy(self, output: Output, batch: Batch, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(
            output.logits.float().flatten(0, 1),
            batch["target_ids"][:, 1:].flatten(),
            ignore_index=self.tokenizer.pad,
            reduction="sum",
            label_smoothing=smoothing,
        )

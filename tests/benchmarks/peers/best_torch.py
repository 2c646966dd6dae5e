"""The best plain-PyTorch loop found: batches by length, bf16, `FastBert`, fused AdamW, no wait in any step."""

from __future__ import annotations

import ctypes
import random
import time

import torch
from common import BATCH, LABELS, LR, MAX_LENGTH, Clock, arguments, load_rows, tell
from fast_bert import FastBert
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertForSequenceClassification

POOL = 50
"""Batches whose rows are sorted by length together."""


def main() -> None:
    given, clock = arguments(), Clock()
    keep_memory()
    torch.manual_seed(given.seed)
    torch.set_num_threads(given.threads)
    tokenizer = Tokenizer.from_file(str(given.weights / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    model = FastBert(BertForSequenceClassification.from_pretrained(given.weights, num_labels=len(LABELS)))
    texts, labels = load_rows(given.data, "train")
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    renumbered = model.compact(torch.tensor(sorted({0, *(piece for text in ids for piece in text)})))
    batches = by_length([len(text) for text in ids], given.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    model.train()
    for rows in batches:
        pieces, mask = padded([ids[row] for row in rows])
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(renumbered[pieces], mask), torch.tensor([labels[row] for row in rows]))
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        clock.step(len(rows))
    model.expand()

    texts, labels = load_rows(given.data, "validation")
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    began = time.perf_counter()
    predictions = evaluate(model, ids)
    tell(clock, time.perf_counter() - began, predictions, labels)


def keep_memory() -> None:
    """Let glibc keep freed blocks: no page faults for every large tensor."""
    library = ctypes.CDLL(None)
    for option, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 64 << 20)):  # mmap and trim thresholds, top pad
        library.mallopt(option, value)


def by_length(lengths: list[int], seed: int) -> list[list[int]]:
    draw = random.Random(seed)
    order = list(range(len(lengths)))
    draw.shuffle(order)
    batches = []
    for start in range(0, len(order), BATCH * POOL):
        pool = sorted(order[start : start + BATCH * POOL], key=lengths.__getitem__)
        batches += [pool[first : first + BATCH] for first in range(0, len(pool), BATCH)]
    draw.shuffle(batches)
    return batches


def padded(texts: list[list[int]]) -> tuple[Tensor, Tensor | None]:
    """(B, T) ids, and where they are no padding; None where nothing is padded."""
    longest, shortest = max(map(len, texts)), min(map(len, texts))
    pieces = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    return pieces, pieces.ne(0) if shortest < longest else None


def evaluate(model: FastBert, ids: list[list[int]], batch: int = 64) -> list[int]:
    model.eval()
    predictions = [0] * len(ids)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            for row, label in zip(rows, model(*padded([ids[row] for row in rows])).argmax(-1).tolist(), strict=True):
                predictions[row] = label
    return predictions


if __name__ == "__main__":
    main()

"""Spelling: the word that was probably meant by one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

SYNONYMS = {
    "batch": "batch_size",
    "by": "replacement",
    "d_model": "width",
    "dev": "validation",
    "dim": "width",
    "gradient_accumulation_steps": "accumulate",
    "gradient_clip_val": "clip_norm",
    "hidden_size": "width",
    "learning_rate": "lr",
    "logger": "trackers",
    "loggers": "trackers",
    "max_epochs": "epochs",
    "max_grad_norm": "clip_norm",
    "max_steps": "steps",
    "num_attention_heads": "heads",
    "num_heads": "heads",
    "num_hidden_layers": "layers",
    "num_layers": "layers",
    "num_train_epochs": "epochs",
    "num_workers": "workers",
    "per_device_train_batch_size": "batch_size",
    "path": "source",
    "random_state": "seed",
    "regex": "pattern",
    "repl": "replacement",
    "sep": "delimiter",
    "val": "validation",
    "warmup_ratio": "warmup",
    "warmup_steps": "warmup",
    "wd": "weight_decay",
    "with": "replacement",
}
"""What other programs call our keys."""


LONGEST = 1000
"""Letters of a word above which it is no slip for any, and comparing it would take long."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` is most likely a slip for, or None where none is near.

    Fewest slips of the finger first (a letter missing, added, changed, or two swapped), then the same
    length, then the longest common parts.
    """
    candidates = sorted(set(known))
    if len(word) > LONGEST:
        return None
    if synonym(word) in candidates:
        return synonym(word)
    ranked = sorted((_rank(word, other), other) for other in candidates)
    if not ranked:
        return None
    (slips, _, unlike), best = ranked[0]
    if slips <= max(1, len(word) // 3) and slips < max(len(word), 2):
        return best
    (_, unlike), best = min(((not other.startswith(word), _unlike(word, other)), other) for other in candidates)
    return best if unlike <= 0.4 or (len(word) > 1 and best.startswith(word)) else None


def synonym(word: str) -> str | None:
    """What we call what other programs call `word`."""
    return SYNONYMS.get(_folded(word))


def is_near(word: str, other: str) -> bool:
    """Whether one is the other but for a slip or two."""
    return _slips(_folded(word), _folded(other)) <= (1 if len(word) < 6 else 2)


def _rank(word: str, other: str) -> tuple[int, int, float]:
    a, b = _folded(word), _folded(other)
    return _slips(a, b), abs(len(a) - len(b)), _unlike(word, other)


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")


def _unlike(word: str, other: str) -> float:
    return 1 - SequenceMatcher(None, _folded(word), _folded(other), autojunk=False).ratio()


def _slips(a: str, b: str) -> int:
    """The optimal string alignment distance (Damerau, 1964, each letter moved once)."""
    if abs(len(a) - len(b)) > 8 or len(a) > 80:
        return max(len(a), len(b))
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        earlier, before, row = before, row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[-1] = min(row[-1], earlier[j - 2] + 1)
    return row[-1]

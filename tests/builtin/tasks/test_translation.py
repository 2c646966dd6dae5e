"""Translation: the target's tokens one after the other, learnt by cross-entropy and written greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor, nn

from lmkit.builtin.tasks.config import TranslationConfig
from lmkit.builtin.tasks.translation import Translation
from lmkit.errors import PluginError
from lmkit.kinds.heads import Seq2SeqHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Features, Ragged
from lmkit.kinds.tokenizer import Tokenizer
from tests.builtin.tasks.losses import losses

GERMAN = ["[SEP]", "[CLS]", "[UNK]", "[PAD]", "ein", "Film", "sehen", "Filme", "."]
PAD, BEGIN, END = 3, 1, 0
EIN, FILM, SEHEN = 4, 5, 6

ROWS = pa.table({"source": ["a film .", "see"], "target": ["ein Film .", "sehen"]})

MakeBatch = Callable[..., Batch]


@pytest.fixture
def german() -> Tokenizer:
    """Whole words, with other ids for its special tokens than the source side has."""
    backend = Backend(WordLevel({word: number for number, word in enumerate(GERMAN)}, unk_token="[UNK]"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(GERMAN[:4])
    return Tokenizer(backend, pad=PAD, unknown=2, begin=BEGIN, end=END)


@pytest.fixture
def make_task(tokenizer: Tokenizer, german: Tokenizer) -> Callable[..., Translation]:
    def make(**settings: Any) -> Translation:
        config = TranslationConfig.model_validate({"use": "translation", **settings})
        return Translation(config, tokenizer=tokenizer, target_tokenizer=german)

    return make


MakeTask = Callable[..., Translation]


def lists(features: Features, name: str) -> list[list[int]]:
    column = features.columns[name]
    assert isinstance(column, Ragged)
    return [column.values[start:end].tolist() for start, end in zip(column.offsets, column.offsets[1:], strict=False)]


def test_a_model_for_it_scores_the_next_token(make_task: MakeTask) -> None:
    assert make_task().head == Seq2SeqHead()


def test_each_side_is_framed_by_its_own_tokenizer(
    make_task: MakeTask, tokenizer: Tokenizer, german: Tokenizer, pieces: Callable[[Sequence[int]], list[str]]
) -> None:
    features = make_task().encode(ROWS, tokenizer, german)

    assert [pieces(ids) for ids in lists(features, "input_ids")] == [
        ["[CLS]", "a", "film", ".", "[SEP]"],
        ["[CLS]", "see", "[SEP]"],
    ]
    assert [[GERMAN[number] for number in ids] for ids in lists(features, "target_ids")] == [
        ["[CLS]", "ein", "Film", ".", "[SEP]"],
        ["[CLS]", "sehen", "[SEP]"],
    ]
    assert features.weight.tolist() == [4, 2]  # the begin is given, never predicted


def test_tokens_cut_off_are_counted_on_both_sides(make_task: MakeTask, tokenizer: Tokenizer, german: Tokenizer) -> None:
    features = make_task(max_length=4, max_target_length=4).encode(ROWS, tokenizer, german)

    assert lists(features, "target_ids") == [[BEGIN, EIN, FILM, END], [BEGIN, SEHEN, END]]
    assert features.cut.tolist() == [2, 0]
    assert features.weight.tolist() == [3, 2]


def test_sources_without_targets_can_be_encoded_too(
    make_task: MakeTask, tokenizer: Tokenizer, german: Tokenizer
) -> None:
    features = make_task().encode(ROWS.select(["source"]), tokenizer, german)

    assert set(features.columns) == {"input_ids"}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_sum_of_cross_entropies_of_the_tokens_that_follow(
    make_task: MakeTask, tokenizer: Tokenizer, german: Tokenizer, batched: MakeBatch, smoothing: float
) -> None:
    task = make_task(label_smoothing=smoothing)
    features = task.encode(ROWS, tokenizer, german)
    batch = batched(features, target_ids=PAD)
    logits = np.random.default_rng(0).normal(size=(2, 4, len(GERMAN)))

    found = losses(task, Output(torch.tensor(logits, dtype=torch.float32)), batch)

    plain, uniform, items = 0.0, 0.0, 0
    for row, ids in enumerate(lists(features, "target_ids")):
        for place, following in enumerate(ids[1:]):
            each = logits[row, place] - np.log(np.exp(logits[row, place]).sum())
            plain, uniform = plain - each[following], uniform - each.mean()
            items += 1
    smoothed = (1 - smoothing) * plain + smoothing * uniform
    assert found == (pytest.approx(plain, rel=1e-5), pytest.approx(smoothed, rel=1e-5) if smoothing else None)
    assert items == features.weight.sum()


def test_by_default_a_tenth_is_spread_over_the_vocabulary() -> None:
    assert TranslationConfig(use="translation").label_smoothing == 0.1


# -- writing


class Scripted(nn.Module):
    """Writes what it is told to: `script[row][step]` is the likeliest id. Notes what it is given."""

    def __init__(self, script: list[list[int]]) -> None:
        super().__init__()
        self.script = script
        self.fed: list[list[int]] = []

    def encode(self, batch: Batch) -> int:
        assert len(batch["input_ids"]) == len(self.script)
        return 0

    def step(self, ids: Tensor, cache: int) -> tuple[Tensor, int]:
        self.fed.append(ids.tolist())
        wanted = torch.tensor([row[min(cache, len(row) - 1)] for row in self.script])
        return nn.functional.one_hot(wanted, len(GERMAN)).float(), cache + 1


class Bigrams(nn.Module):
    """The next token depends on the newest one and on the row's first word; the cache holds the latter."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.table = torch.randn(20, len(GERMAN), len(GERMAN), generator=torch.Generator().manual_seed(seed))
        self.table[:, :, [PAD, BEGIN]] = -100

    def encode(self, batch: Batch) -> Tensor:
        return batch["input_ids"][:, 1]

    def step(self, ids: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        return self.table[cache, ids], cache


NOTHING = Output(torch.empty(0))


def sources(rows: int) -> Batch:
    return {"input_ids": torch.tensor([[2, 4 + row, 3] for row in range(rows)])}


def test_writing_feeds_each_token_back_until_every_row_has_ended(make_task: MakeTask) -> None:
    model = Scripted([[EIN, FILM, END, SEHEN], [SEHEN, END, EIN, EIN], [END, EIN, EIN, EIN]])

    found = make_task().predict(model, NOTHING, sources(3))

    assert found == {"prediction": ["einFilm", "sehen", ""]}
    assert model.fed == [[BEGIN] * 3, [EIN, SEHEN, END], [FILM, END, PAD]]  # three steps, then all have ended


def test_writing_stops_at_the_limit(make_task: MakeTask) -> None:
    model = Scripted([[EIN], [SEHEN, END]])

    found = make_task(max_target_length=5).predict(model, NOTHING, sources(2))

    assert found["prediction"] == ["einein" * 2, "sehen"]
    assert len(model.fed) == 4  # with the begin, five tokens


def test_what_is_written_equals_a_loop_over_single_rows(make_task: MakeTask, german: Tokenizer) -> None:
    for seed in range(5):
        model, task = Bigrams(seed), make_task(max_target_length=9)

        found = task.predict(model, NOTHING, sources(8))["prediction"]

        for row, text in enumerate(found):
            ids = [BEGIN]
            while ids[-1] != END and len(ids) < 9:
                ids.append(int(model.table[4 + row, ids[-1]].argmax()))
            assert text == german.decode([ids])[0].strip()


def test_a_model_that_cannot_write_is_told(make_task: MakeTask) -> None:
    with pytest.raises(PluginError, match="Linear cannot write text: it has no encode and step"):
        make_task().predict(nn.Linear(1, 1), NOTHING, sources(1))


def test_predictions_are_compared_with_the_target_texts(make_task: MakeTask) -> None:
    assert make_task().references(ROWS) == ["ein Film .", "sehen"]


def test_the_method_to_beat_is_to_copy_the_source(make_task: MakeTask) -> None:
    assert make_task().baselines(ROWS, ROWS) == {"copy": ["a film .", "see"]}

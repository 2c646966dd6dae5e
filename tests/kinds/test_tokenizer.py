"""Tokenizers of files that others wrote: what the library cannot do is an error for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Regex, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from lmkit.errors import DataError
from lmkit.kinds.tokenizer import Tokenizer

COSTLY = Regex("((a+)+)+$")
TEXTS = ["fine", "a" * 60 + "!"]


def tokenizer() -> Tokenizer:
    return Tokenizer(Backend(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), 0, 0, 0, 0)


@pytest.mark.parametrize("place", ["pre_tokenizer", "normalizer"])
def test_a_pattern_that_takes_too_long_on_a_text_is_an_error_for_people(place: str) -> None:
    made = tokenizer()
    if place == "normalizer":
        made.backend.normalizer = normalizers.Replace(COSTLY, "b")
    else:
        made.backend.pre_tokenizer = pre_tokenizers.Split(COSTLY, "isolated")

    with pytest.raises(DataError, match=r"gave up on one of 2 texts: .*A pattern in its tokenizer\.json takes too"):
        made.encode(TEXTS)
    with pytest.raises(DataError, match=r"gave up on one of 2 texts"):
        made.encode_words([[text] for text in TEXTS])


def test_a_stop_meanwhile_stays_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped:
        def encode_batch_fast(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tokenizer(Stopped(), 0, 0, 0, 0).encode(["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json"])
def test_a_file_that_is_nested_without_end_is_no_tokenizer(tmp_path: Path, name: str) -> None:
    tokenizer().save(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / name).write_text("[" * 100_000)

    with pytest.raises(Exception, match=r"nested|line 1") as raised:
        Tokenizer.load(tmp_path)

    assert not isinstance(raised.value, RecursionError)

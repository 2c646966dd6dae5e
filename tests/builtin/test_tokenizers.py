"""The tokenizers: their contract, their settings, and that transformers reads what they save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lmkit.builtin.tokenizers.config import BpeConfig, PretrainedTokenizerConfig, WordpieceConfig
from lmkit.builtin.tokenizers.fitted import build_bpe, build_wordpiece
from lmkit.builtin.tokenizers.pretrained import build_pretrained
from lmkit.errors import DataError, ResourceError
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.testing.contracts import TokenizerContract

TEXTS = [
    "A good film, and a moving one.",
    "Not a good film: the plot is thin, the acting wooden.",
    "Ce film n'est pas bon ; la fin est triste.",
    "the film the book the play",
    "good films, good books, good plays",
    "Every morning the old lighthouse keeper climbed a hundred steps and polished the great lamp.",
    "Le gardien du phare montait chaque matin les cent marches pour polir la grande lampe.",
]


def texts() -> Iterator[str]:
    yield from TEXTS


def wordpiece(**settings: Any) -> Tokenizer:
    return build_wordpiece(WordpieceConfig(use="wordpiece", **{"min_frequency": 1, **settings}), texts=texts)


def bpe(**settings: Any) -> Tokenizer:
    return build_bpe(BpeConfig(use="bpe", **{"min_frequency": 1, **settings}), texts=texts)


class TestWordpiece(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return wordpiece(vocab_size=200)


class TestWordpieceInLowerCase(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return wordpiece(lowercase=True)


class TestBpe(TokenizerContract):
    texts = TEXTS
    lossless = True

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return bpe(vocab_size=200)


class TestBpeInLowerCase(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return bpe(lowercase=True)


class TestPretrained(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self, tmp_path: Path) -> Tokenizer:
        """What was fitted and saved, as a model that one has at hand."""
        (tmp_path / "saved").mkdir()
        wordpiece().save(tmp_path / "saved")
        return build_pretrained(PretrainedTokenizerConfig(use="pretrained", source="saved"), folder=tmp_path)


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_equal_texts_and_settings_give_equal_tokenizers(fit: Any) -> None:
    assert fit().serialized() == fit().serialized()
    assert fit().serialized() != fit(vocab_size=150).serialized()


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_the_vocabulary_is_no_larger_than_asked_for_and_begins_with_the_special_tokens(fit: Any) -> None:
    tokenizer = fit(vocab_size=150)

    assert tokenizer.vocab_size == 150
    assert [tokenizer.backend.id_to_token(number) for number in range(5)] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]
    assert (tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end, tokenizer.mask) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_pairs_that_are_too_rare_make_no_piece(fit: Any) -> None:
    def words(tokenizer: Tokenizer) -> set[str]:
        return {piece.strip("#\u2581") for piece in tokenizer.backend.get_vocab()}

    assert {"triste", "good"} <= words(fit(min_frequency=1))
    assert "good" in words(fit(min_frequency=2))
    assert "triste" not in words(fit(min_frequency=2))


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_lower_case_makes_one_of_words_that_differ_by_case_alone(fit: Any) -> None:
    upper, lower = fit(lowercase=True).encode(["GOOD Film", "good film"])
    assert upper == lower

    upper, lower = fit().encode(["Not", "not"])
    assert upper != lower


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_a_character_never_seen_is_unknown(fit: Any) -> None:
    tokenizer = fit()

    assert tokenizer.unknown in tokenizer.encode(["\u96ea"])[0]


def test_bpe_keeps_spaces_inside_of_a_text_and_at_its_end() -> None:
    spaced = ["good  film ", "good film", "n'est pas bon ; la fin"]

    assert bpe().decode(bpe().encode(spaced)) == spaced


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_fitting_on_a_tiny_text_gives_a_small_vocabulary(fit: Any) -> None:
    def one() -> Iterator[str]:
        yield "ab ab"

    build, config = (build_wordpiece, WordpieceConfig) if fit is wordpiece else (build_bpe, BpeConfig)
    tokenizer = build(config.model_validate({"use": fit.__name__}), texts=one)

    assert 5 < tokenizer.vocab_size < 12


@pytest.mark.parametrize("fit", [wordpiece, bpe])
def test_transformers_reads_what_is_saved_and_frames_texts_as_tasks_do(fit: Any, tmp_path: Path) -> None:
    tokenizer = fit()
    tokenizer.save(tmp_path)

    theirs = AutoTokenizer.from_pretrained(tmp_path)

    bare = tokenizer.encode(TEXTS)
    assert theirs(TEXTS, add_special_tokens=False)["input_ids"] == bare
    assert theirs(TEXTS)["input_ids"] == [[tokenizer.begin, *ids, tokenizer.end] for ids in bare]
    assert (theirs.pad_token_id, theirs.unk_token_id, theirs.mask_token_id) == (0, 1, 4)


def test_a_source_that_is_nowhere_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_OFFLINE", "1")

    with pytest.raises(DataError, match="is neither a folder below"):
        build_pretrained(PretrainedTokenizerConfig(use="pretrained", source="not/a/model"), folder=tmp_path)
    with pytest.raises(ResourceError, match="hub could not be reached"):
        build_pretrained(PretrainedTokenizerConfig(use="pretrained", source="nobody/nothing-at-all"), folder=tmp_path)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"config.json": "{}"}, "holds no tokenizer.json"),
        ({"tokenizer.json": wordpiece().serialized()}, "names no begin, end or padding token"),
    ],
)
def test_a_folder_without_a_whole_tokenizer_is_a_fault(tmp_path: Path, files: dict[str, str], told: str) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)

    with pytest.raises(DataError, match=told):
        build_pretrained(PretrainedTokenizerConfig(use="pretrained", source="half"), folder=tmp_path)

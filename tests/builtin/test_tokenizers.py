"""The tokenizers: their contract, their settings, and that transformers reads what they save."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lmkit.builtin.tokenizers.config import (
    BpeConfig,
    ByteConfig,
    ByteLevelBpeConfig,
    CharConfig,
    PretrainedTokenizerConfig,
    UnigramConfig,
    WhitespaceTokenizerConfig,
    WordpieceConfig,
)
from lmkit.builtin.tokenizers.fitted import build_bpe, build_byte_level_bpe, build_wordpiece
from lmkit.builtin.tokenizers.pretrained import build_pretrained
from lmkit.builtin.tokenizers.unigram import build_unigram
from lmkit.builtin.tokenizers.whole import build_byte, build_char, build_whitespace
from lmkit.errors import DataError, ResourceError
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.pretrained import pretrained_tokenizer
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


def wordpiece(texts: Any = texts, **settings: Any) -> Tokenizer:
    return build_wordpiece(WordpieceConfig(use="wordpiece", **{"min_frequency": 1, **settings}), texts=texts)


def bpe(texts: Any = texts, **settings: Any) -> Tokenizer:
    return build_bpe(BpeConfig(use="bpe", **{"min_frequency": 1, **settings}), texts=texts)


def byte_level_bpe(texts: Any = texts, **settings: Any) -> Tokenizer:
    config = ByteLevelBpeConfig(use="byte-level-bpe", **{"min_frequency": 1, **settings})
    return build_byte_level_bpe(config, texts=texts)


def unigram(texts: Any = texts, **settings: Any) -> Tokenizer:
    return build_unigram(UnigramConfig(use="unigram", **settings), texts=texts)


def char(texts: Any = texts, **settings: Any) -> Tokenizer:
    return build_char(CharConfig(use="char", **settings), texts=texts)


def whitespace(texts: Any = texts, **settings: Any) -> Tokenizer:
    return build_whitespace(
        WhitespaceTokenizerConfig(use="whitespace", **{"min_frequency": 1, **settings}), texts=texts
    )


def byte(texts: Any = texts) -> Tokenizer:
    return build_byte(ByteConfig(use="byte"))


PAIRS = [wordpiece, bpe, byte_level_bpe]
FITTED = [*PAIRS, unigram, char, whitespace]
OWN = [*FITTED, byte]


class TestWordpiece(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return wordpiece(vocab_size=200)


class TestBpe(TokenizerContract):
    texts = TEXTS
    lossless = True

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return bpe(vocab_size=200)


class TestByteLevelBpe(TokenizerContract):
    texts = TEXTS
    lossless = True

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return byte_level_bpe(vocab_size=400)


class TestUnigram(TokenizerContract):
    texts = TEXTS
    lossless = True

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return unigram(vocab_size=100)


class TestChar(TokenizerContract):
    texts = TEXTS
    lossless = True

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return char()


class TestWhitespace(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return whitespace()


class TestByte(TokenizerContract):
    texts = TEXTS
    lossless = True

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return byte()


class TestInLowerCase(TokenizerContract):
    texts = TEXTS

    @pytest.fixture(params=FITTED)
    def tokenizer(self, request: pytest.FixtureRequest) -> Tokenizer:
        tokenizer: Tokenizer = request.param(lowercase=True)
        return tokenizer


class TestPretrained(TokenizerContract):
    texts = TEXTS

    @pytest.fixture
    def tokenizer(self, tmp_path: Path) -> Tokenizer:
        """What was fitted and saved, as a model that one has at hand."""
        (tmp_path / "saved").mkdir()
        wordpiece().save(tmp_path / "saved")
        return build_pretrained(PretrainedTokenizerConfig(use="pretrained", source="saved"), folder=tmp_path)


@pytest.mark.parametrize("fit", FITTED)
def test_equal_texts_and_settings_give_equal_tokenizers(fit: Any) -> None:
    assert fit().to_json() == fit().to_json()
    assert fit().to_json() != fit(lowercase=True).to_json()


@pytest.mark.parametrize("fit", OWN)
def test_the_vocabulary_begins_with_the_special_tokens(fit: Any) -> None:
    tokenizer = fit()

    assert [tokenizer.backend.id_to_token(number) for number in range(5)] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]
    assert (tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end, tokenizer.mask) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("fit", FITTED)
def test_the_vocabulary_is_no_larger_than_asked_for(fit: Any) -> None:
    many = [*TEXTS, "".join(map(chr, range(0x4E00, 0x4E64))), " ".join(map(chr, range(0x5E00, 0x5E64)))]
    size = {char: 120, whitespace: 120, byte_level_bpe: 300, unigram: 280}.get(fit, 480)

    assert fit(lambda: iter(many), vocab_size=size).vocab_size == size


@pytest.mark.parametrize("fit", FITTED)
def test_a_vocabulary_larger_than_the_texts_give_is_as_large_as_they_give(fit: Any) -> None:
    tokenizer = fit(lambda: iter(["ab ab"]))

    assert 5 < tokenizer.vocab_size < (12 if fit is not byte_level_bpe else 270)
    assert tokenizer.unknown not in tokenizer.encode(["ab"])[0]


@pytest.mark.parametrize("fit", [wordpiece, bpe, unigram])
def test_a_vocabulary_that_cannot_hold_the_characters_is_refused_with_the_size_it_needs(fit: Any) -> None:
    letters = ["".join(map(chr, range(0x4E00, 0x4E00 + 500)))]
    needed = {wordpiece: "1,005", bpe: "506", unigram: "506"}[fit]

    with pytest.raises(DataError, match=f"a vocabulary of {needed}, and vocab_size is 100: raise the {fit.__name__} "):
        fit(lambda: iter(letters), vocab_size=100)
    assert fit(lambda: iter(letters), vocab_size=int(needed.replace(",", ""))).encode(letters)


@pytest.mark.parametrize("fit", [unigram, char, whitespace])
@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_texts_of_which_nothing_can_be_learnt_are_refused(fit: Any, texts: list[str]) -> None:
    with pytest.raises(DataError, match=r"cannot be fitted: no (character|word) occurs in the training texts$"):
        fit(lambda: iter(texts))


def test_words_that_are_all_too_rare_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match="no word occurs 9 times in the training texts; lower its min_frequency"):
        build_whitespace(WhitespaceTokenizerConfig(use="whitespace", min_frequency=9), texts=texts)


@pytest.mark.parametrize("fit", PAIRS)
def test_pairs_that_are_too_rare_make_no_piece(fit: Any) -> None:
    def words(tokenizer: Tokenizer) -> set[str]:
        return {piece.strip("#\u2581\u0120") for piece in tokenizer.backend.get_vocab()}

    assert {"triste", "good"} <= words(fit(min_frequency=1))
    assert "good" in words(fit(min_frequency=2))
    assert "triste" not in words(fit(min_frequency=2))


@pytest.mark.parametrize("fit", FITTED)
def test_lower_case_makes_one_of_words_that_differ_by_case_alone(fit: Any) -> None:
    upper, lower = fit(lowercase=True).encode(["GOOD Film", "good film"])
    assert upper == lower

    upper, lower = fit().encode(["Not", "not"])
    assert upper != lower


@pytest.mark.parametrize("fit", [wordpiece, bpe, unigram, char, whitespace])
def test_a_character_never_seen_is_unknown(fit: Any) -> None:
    tokenizer = fit()

    assert tokenizer.unknown in tokenizer.encode(["\u96ea"])[0]


def test_unigram_leaves_out_the_rarest_characters_where_it_may() -> None:
    common = ["good films " * 200, "\u96ea"]

    assert unigram(lambda: iter(common)).decode(unigram(lambda: iter(common)).encode(["\u96ea"])) == ["\u96ea"]
    rare = unigram(lambda: iter(common), character_coverage=0.99)
    assert rare.unknown in rare.encode(["\u96ea"])[0]
    assert rare.unknown not in rare.encode(["good films"])[0]


@pytest.mark.parametrize("fit", OWN)
def test_a_special_token_typed_in_a_text_is_text(fit: Any, tmp_path: Path) -> None:
    typed = ["[PAD]", "a [PAD] film", "[CLS]good[SEP]", "x[MASK]y [UNK]", "[[PAD]]"]
    tokenizer = fit(lambda: iter([*TEXTS, *typed, *typed]))
    special = {tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end, tokenizer.mask}

    ids = tokenizer.encode(typed)

    assert not special & {number for row in ids for number in row}
    assert [text.replace(" ", "") for text in tokenizer.decode(ids)] == [text.replace(" ", "") for text in typed]
    tokenizer.save(tmp_path)
    assert pretrained_tokenizer(tmp_path).encode(typed) == ids
    assert AutoTokenizer.from_pretrained(tmp_path)(typed, add_special_tokens=False)["input_ids"] == ids


@pytest.mark.parametrize("fit", OWN)
def test_half_of_a_surrogate_pair_is_refused_by_its_place(fit: Any) -> None:
    with pytest.raises(DataError, match=r"text 1 cannot be encoded: its character 2 is '\\ud83d', half of"):
        fit().encode(["good", "ab\ud83d"])
    with pytest.raises(DataError, match=r"text 1 cannot be encoded: its character 5 is '\\ud83d', half of"):
        fit().encode_words([["good"], ["good", "\ud83d"]])


@pytest.mark.parametrize("fit", OWN)
def test_very_long_texts_are_encoded_whole(fit: Any) -> None:
    tokenizer = fit()
    long = "good film, " * 9_091  # 100,001 characters

    (ids,) = tokenizer.encode([long])

    assert tokenizer.decode([ids])[0].replace(" ", "") == long.replace(" ", "")


@pytest.mark.parametrize("fit", [bpe, byte_level_bpe, unigram, char, byte])
def test_a_long_text_without_a_space_is_encoded_whole(fit: Any) -> None:
    tokenizer = fit(lambda: iter(["\u4e2d\u6587\u6ca1\u6709\u7a7a\u683c\u3002"] * 3))
    long = "\u4e2d\u6587\u6ca1\u6709" * 25_000

    assert tokenizer.decode(tokenizer.encode([long])) == [long]


@pytest.mark.parametrize("fit", OWN)
def test_each_piece_belongs_to_the_word_in_which_it_begins(fit: Any) -> None:
    sentence = [
        "good",
        "films",
        ",",
        "the",
        "old",
        "lighthouse",
        ".",
        "\U0001f469\U0001f467",
        "e\u0301t\u00e9",
        "the",
    ]
    tokenizer = fit(lambda: iter([*TEXTS, " ".join(sentence)] * 2))

    words = tokenizer.encode_words([sentence, [], ["good"]])

    for number, word in enumerate(sentence):
        pieces = [ids for ids, of in zip(words.ids[0], words.words[0], strict=True) if of == number]
        (told,) = tokenizer.decode([pieces])
        assert unicodedata.normalize("NFC", told.strip()) in (unicodedata.normalize("NFC", word), "")
        assert pieces, word
    assert (words.ids[1], words.words[1]) == ([], [])
    assert set(words.words[2]) == {0}


def test_a_space_between_words_begins_no_word() -> None:
    words = byte().encode_words([["ab", "", "c d", "e"]])

    assert words.ids == [[5 + number for number in b"ab  c d e"]]
    assert words.words == [[0, 0, 0, 1, 2, 2, 2, 2, 3]]
    assert char().encode_words([["a", "b"]]).words == [[0, 0, 1]]
    assert byte_level_bpe().encode_words([["good", "good"]]).words == [[0, 1]]


@pytest.mark.parametrize("fit", OWN)
def test_transformers_reads_what_is_saved_and_frames_texts_as_tasks_do(fit: Any, tmp_path: Path) -> None:
    tokenizer = fit()
    tokenizer.save(tmp_path)

    theirs = AutoTokenizer.from_pretrained(tmp_path)

    bare = tokenizer.encode(TEXTS)
    assert theirs(TEXTS, add_special_tokens=False)["input_ids"] == bare
    assert theirs(TEXTS)["input_ids"] == [[tokenizer.begin, *ids, tokenizer.end] for ids in bare]
    assert [theirs.decode(ids, skip_special_tokens=True) for ids in bare] == tokenizer.decode(bare)
    assert (theirs.pad_token_id, theirs.unk_token_id, theirs.mask_token_id) == (0, 1, 4)


def test_a_source_that_is_nowhere_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_OFFLINE", "1")

    with pytest.raises(DataError, match="is neither a folder below"):
        build_pretrained(PretrainedTokenizerConfig(use="pretrained", source="not/a/model"), folder=tmp_path)
    with pytest.raises(ResourceError, match="is no folder below .* while LMKIT_OFFLINE=1 is set"):
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

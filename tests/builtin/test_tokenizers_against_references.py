"""The tokenizers beside what they are said to be: exact on any text, equal to plain Python, to other libraries, and to
themselves in any other process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer, pre_tokenizers

from lmkit.builtin.tokenizers.config import (
    BpeConfig,
    ByteConfig,
    ByteLevelBpeConfig,
    CharConfig,
    UnigramConfig,
    WhitespaceTokenizerConfig,
)
from lmkit.builtin.tokenizers.fitted import build_bpe, build_byte_level_bpe, spaced
from lmkit.builtin.tokenizers.unigram import build_unigram
from lmkit.builtin.tokenizers.whole import build_byte, build_char, build_whitespace
from lmkit.kinds.tokenizer import Tokenizer

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

TEXTS = [
    "A good film, and a moving one.",
    "Not a good film: the plot is thin, the acting wooden.",
    "Ce film n'est pas bon ; la fin est triste.",
    "good films, good books,  good plays",
    "\u5f88\u597d\u7684\u7535\u5f71\u3002",
]


def some() -> Iterator[str]:
    yield from TEXTS


@cache
def byte_level() -> Tokenizer:
    return build_byte_level_bpe(ByteLevelBpeConfig(use="byte-level-bpe", vocab_size=320, min_frequency=1), texts=some)


@cache
def byte() -> Tokenizer:
    return build_byte(ByteConfig(use="byte"))


anything = st.text(max_size=40) | st.text(
    "ab \t\n\0\r[PADUNK]\u2581\u2585\u00a0\u0301\u200d\ufeff\U0001f469", max_size=40
)


# -- texts are given back


@settings(max_examples=120, deadline=None)
@given(texts=st.lists(anything, max_size=4))
def test_bytes_give_back_any_text(texts: list[str]) -> None:
    for tokenizer in (byte(), byte_level()):
        ids = tokenizer.encode(texts)

        assert tokenizer.decode(ids) == texts
        assert all(number >= len(SPECIAL) for row in ids for number in row)


@settings(max_examples=120, deadline=None)
@given(text=anything)
def test_bytes_are_those_of_utf_8(text: str) -> None:
    assert byte().encode([text]) == [[5 + number for number in text.encode()]]


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(anything, min_size=1, max_size=4), other=anything)
def test_characters_are_given_back_where_they_are_known(texts: list[str], other: str) -> None:
    known = set("".join(texts))
    if not known:
        return
    tokenizer = build_char(CharConfig(use="char"), texts=lambda: iter(texts))

    assert tokenizer.decode(tokenizer.encode([*texts, other])) == [*texts, "".join(c for c in other if c in known)]
    assert [number == tokenizer.unknown for number in tokenizer.encode([other])[0]] == [c not in known for c in other]


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(anything, min_size=1, max_size=4))
def test_bpe_and_unigram_keep_spacing_and_the_composed_form(texts: list[str]) -> None:
    texts = [*texts, "x"]
    for tokenizer, never_known in (
        (build_bpe(BpeConfig(use="bpe", min_frequency=1), texts=lambda: iter(texts)), ""),
        (build_unigram(UnigramConfig(use="unigram"), texts=lambda: iter(texts)), "\0\x1f\u2585"),
    ):
        composed = [unicodedata.normalize("NFC", text).replace("\u2581", " ") for text in texts]
        told = tokenizer.decode(tokenizer.encode(texts))

        assert told == ["".join(letter for letter in text if letter not in never_known) for text in composed]


def test_every_language_is_given_back(test_data: Path) -> None:
    train, held = rows(test_data, "train")[:900], rows(test_data, "test")
    config = ByteLevelBpeConfig(use="byte-level-bpe", vocab_size=1000)

    for tokenizer in (build_byte_level_bpe(config, texts=lambda: iter(train)), byte()):
        assert tokenizer.decode(tokenizer.encode(held)) == held


# -- plain Python


def test_white_space_cuts_words_as_python_does(test_data: Path) -> None:
    train, held = rows(test_data, "train"), rows(test_data, "test")
    tokenizer = build_whitespace(
        WhitespaceTokenizerConfig(use="whitespace", vocab_size=3000), texts=lambda: iter(train)
    )

    counts = Counter(word for text in train for word in text.split())
    common = sorted((word for word in counts if counts[word] >= 2), key=lambda word: (-counts[word], word.encode()))
    number = {word: place for place, word in enumerate(SPECIAL + common[: 3000 - 5])}

    assert tokenizer.backend.get_vocab() == number
    assert tokenizer.encode(held) == [[number.get(word, 1) for word in text.split()] for text in held]
    known = [" ".join(word for word in text.split() if word in number) for text in held]
    assert tokenizer.decode(tokenizer.encode(held)) == known


def test_characters_are_numbered_as_python_counts_them(test_data: Path) -> None:
    train, held = rows(test_data, "train"), rows(test_data, "test")
    tokenizer = build_char(CharConfig(use="char", vocab_size=1000, min_frequency=2), texts=lambda: iter(train))

    counts = Counter("".join(train))
    common = sorted((letter for letter in counts if counts[letter] >= 2), key=lambda letter: (-counts[letter], letter))
    number = {letter: place for place, letter in enumerate(SPECIAL + common[: 1000 - 5])}

    assert tokenizer.encode(held) == [[number.get(letter, 1) for letter in text] for text in held]


def test_bpe_joins_the_pairs_that_sennrichs_algorithm_joins() -> None:
    """Sennrich et al. (2016), algorithm 1; among equals the pair of the smaller numbers."""
    normalizer = spaced(False)
    cut = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Punctuation()])
    counts = Counter(word for text in TEXTS for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)))
    number = {token: place for place, token in enumerate([*SPECIAL, *sorted(set("".join(counts)))])}
    words = {tuple(word): count for word, count in counts.items()}
    while len(number) < 100:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], number[pair[0]], number[pair[1]]))
        number.setdefault("".join(best), len(number))
        words = {joined(word, best): count for word, count in words.items()}

    tokenizer = build_bpe(BpeConfig(use="bpe", vocab_size=100, min_frequency=1), texts=some)

    assert tokenizer.backend.get_vocab() == number
    expected = [[number[piece] for word in cut_up(words, text, cut, normalizer) for piece in word] for text in TEXTS]
    assert tokenizer.encode(TEXTS) == expected


def test_unigram_finds_the_likeliest_pieces() -> None:
    """Viterbi over all ways to spell a text (Kudo, 2018, section 3.2)."""
    tokenizer = build_unigram(UnigramConfig(use="unigram", vocab_size=100), texts=some)
    score = dict(json.loads(tokenizer.serialized())["model"]["vocab"][len(SPECIAL) :])

    for text in TEXTS:
        spelt = "\u2581" + text.replace(" ", "\u2581")
        best = [0.0] + [-1e9] * len(spelt)
        for end in range(1, len(spelt) + 1):
            for begin in range(max(0, end - 16), end):
                best[end] = max(best[end], best[begin] + score.get(spelt[begin:end], -1e9))
        (ids,) = tokenizer.encode([text])
        pieces = [tokenizer.backend.id_to_token(number) for number in ids]

        assert "".join(pieces) == spelt
        assert sum(score[piece] for piece in pieces) == pytest.approx(best[-1])


# -- other libraries


def test_byte_level_bpe_is_the_librarys_own(test_data: Path) -> None:
    train, held = rows(test_data, "train")[:1500], rows(test_data, "test")
    theirs = ByteLevelBPETokenizer(add_prefix_space=False)
    theirs.train_from_iterator(train, vocab_size=1000, min_frequency=2, special_tokens=SPECIAL, show_progress=False)

    config = ByteLevelBpeConfig(use="byte-level-bpe", vocab_size=1000)
    ours = build_byte_level_bpe(config, texts=lambda: iter(train))

    assert ours.backend.get_vocab() == theirs.get_vocab()
    assert ours.encode(held) == [encoding.ids for encoding in theirs.encode_batch(held)]


def test_unigram_encodes_as_sentencepiece_does(test_data: Path) -> None:
    train, held = (
        [unicodedata.normalize("NFC", text) for text in rows(test_data, split)] for split in ("train", "test")
    )
    train, model = train[:1500], io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(train),
        model_writer=model,
        model_type="unigram",
        vocab_size=2000,
        character_coverage=0.9995,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    config = UnigramConfig(use="unigram", vocab_size=2004, character_coverage=0.9995)
    ours = build_unigram(config, texts=lambda: iter(train))

    assert ours.vocab_size == 2004
    assert ours.encode(held) == [[number + 4 if number else 1 for number in theirs.encode(text)] for text in held]


# -- other processes

FIT = """
import hashlib, json, sys
from lmkit.plugins import load_plugins
catalog = load_plugins([("lmkit", None, "lmkit.builtin.plugin")]).catalog
texts = json.load(open(sys.argv[1], encoding="utf-8"))
for name in catalog.names("tokenizer"):
    for size in (300, 7000):
        if name in ("pretrained", "byte") or (size == 300 and name in ("wordpiece", "bpe", "unigram")):
            continue
        config = catalog.find("tokenizer", name).component.config(use=name, vocab_size=size)
        tokenizer = catalog.build("tokenizer", config, texts=lambda: iter(texts), folder=None)
        print(name, size, hashlib.sha256(tokenizer.to_json().encode()).hexdigest())
"""


def fitted_elsewhere(path: Path, environments: Iterable[dict[str, str]]) -> list[str]:
    """What tokenizers are fitted on the texts at `path`, in a process for each of these environments."""
    own = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", FIT, str(path)]
    processes = [
        subprocess.Popen(command, env=own | environment, stdout=subprocess.PIPE, text=True)
        for environment in environments
    ]
    told = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return told


ENVIRONMENTS = [
    {"PYTHONHASHSEED": "1", "TOKENIZERS_PARALLELISM": "false"},
    {"PYTHONHASHSEED": "2", "RAYON_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "3", "RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": "2"},
]


def test_every_process_fits_the_same_tokenizers(tmp_path: Path) -> None:
    letters = "abcdefghij"
    words = [a + b + c for a in letters for b in letters for c in letters if (a + b + c) != "aaa"]
    texts = [*TEXTS, *(" ".join(words[place::37]) for place in range(37))] * 2  # thousands of ties
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")

    first, *others = fitted_elsewhere(tmp_path / "texts.json", ENVIRONMENTS[1:])

    assert len(first.splitlines()) == 9
    assert others == [first]


@pytest.mark.slow
def test_every_process_fits_the_same_tokenizers_on_real_texts(test_data: Path, tmp_path: Path) -> None:
    texts = rows(test_data, "train")[:4000]
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")

    told = {fitted_elsewhere(tmp_path / "texts.json", [environment])[0] for environment in ENVIRONMENTS * 3}

    assert len(told) == 1


# -- what the tests share


def rows(test_data: Path, split: str) -> list[str]:
    """English, German, French and Chinese texts, by turns."""

    def column(path: str, *names: str) -> list[list[str]]:
        lines = (test_data / "translation" / path / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
        return [[json.loads(line)[name] for name in names] for line in lines if line]

    european, chinese = column("multi30k", "en", "de", "fr"), column("tatoeba_en_zh", "zh")
    return [text for pair in zip(european[:2000], chinese[:2000], strict=False) for row in pair for text in row]


def joined(word: Sequence[str], pair: tuple[str, str]) -> tuple[str, ...]:
    """The word with each occurrence of the pair made one piece, from the left."""
    pieces: list[str] = []
    for piece in word:
        if pieces and (pieces[-1], piece) == pair:
            pieces[-1] = "".join(pair)
        else:
            pieces.append(piece)
    return tuple(pieces)


def cut_up(
    words: Iterable[Sequence[str]], text: str, cut: pre_tokenizers.PreTokenizer, normalizer: Callable[..., str]
) -> list[Sequence[str]]:
    """The pieces of each word of a text."""
    pieces = {"".join(word): word for word in words}
    return [pieces[word] for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text))]  # type: ignore[attr-defined]

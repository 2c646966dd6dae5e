"""The conll source: sentences in columns, read to the last odd line or refused with its number."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmkit.builtin.data.conll import build_conll, read_conll
from lmkit.builtin.data.lines_config import ConllConfig
from lmkit.errors import DataError

CHARACTERS = st.characters(exclude_characters="\n\r\0\ufeff\t ", exclude_categories=["Cs"])
WORDS = st.text(CHARACTERS, min_size=1).filter(lambda word: not word.startswith(("-DOCSTART-", "#begin", "#end")))
SENTENCES = st.lists(st.lists(st.tuples(WORDS, WORDS), min_size=1), min_size=1)
FIELDS = st.text(CHARACTERS | st.just(" "), max_size=4)


def conll_config(**settings: Any) -> ConllConfig:
    return ConllConfig.model_validate_json(json.dumps({"use": "conll", **settings}))  # where a list is a tuple


def columns_of(text: str, **settings: Any) -> dict[str, list[list[str]]]:
    columns: dict[str, list[list[str]]] = read_conll(io.BytesIO(text.encode()), "ner.conll", **settings).to_pydict()
    return columns


@settings(deadline=None)
@given(sentences=SENTENCES, between=st.sampled_from(["\t", " ", "  ", " \t "]), end=st.sampled_from(["\n", "\r\n"]))
@example(
    sentences=[[("#", "O"), ("\u00a0", "O")], [("a\u2028b", "O"), ("c\x85", "O"), ("\u3000", "O")]],
    between="\t",
    end="\n",
)
def test_whatever_sentences_are_written_come_back(
    sentences: list[list[tuple[str, str]]], between: str, end: str
) -> None:
    text = (end + end).join(end.join(between.join(row) for row in sentence) for sentence in sentences)

    columns = columns_of(text, comments=False)

    assert columns == {
        "tokens": [[word for word, _ in sentence] for sentence in sentences],
        "tags": [[tag for _, tag in sentence] for sentence in sentences],
    }


@settings(deadline=None)
@given(rows=st.lists(st.tuples(FIELDS, FIELDS, WORDS), min_size=1))
def test_with_a_tab_as_delimiter_fields_may_be_empty_and_hold_spaces(rows: list[tuple[str, str, str]]) -> None:
    rows = [row for row in rows if not "\t".join(row).startswith(("-DOCSTART-", "#begin", "#end"))] or [("", " ", "O")]
    text = "\n".join("\t".join(row) for row in rows)

    columns = columns_of(text, fields=["a", "b", "c"], delimiter="\t", comments=False)

    assert columns == {name: [[row[index] for row in rows]] for index, name in enumerate("abc")}


def test_fields_name_the_columns_from_the_left_and_skip_some() -> None:
    text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n"

    assert columns_of(text, fields=["tokens", "_", "_", "tags"]) == {
        "tokens": [["EU", "rejects"], ["Peter"]],
        "tags": [["B-ORG", "O"], ["B-PER"]],
    }
    assert columns_of(text, fields=["tokens"]) == {"tokens": [["EU", "rejects"], ["Peter"]]}


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        ("a\tO\nb\n", {}, r"ner\.conll:2: 1 column \('b'\) where line 1 has 2"),
        ("a O\nNew York B\n", {}, r"ner\.conll:2: 3 columns \('New York B'\) where line 1 has 2$"),
        ("a\tO\nNew York\tB\n", {}, r'ner\.conll:2: 3 columns .* where line 1 has 2\. .* data\.delimiter: "\\t"'),
        (
            "a X O\n",
            {},
            r"ner\.conll:1: 3 columns where tokens and tags were expected.*data\.fields: \[tokens, _, tags\]",
        ),
        ("\n\na O\n", {"fields": ["a", "b", "c"]}, r"ner\.conll:3: 2 columns where data\.fields names 3"),
        ("", {}, r"ner\.conll holds no tokens"),
        ("\n# only a comment\n-DOCSTART-\n", {}, r"ner\.conll holds no tokens"),
        ("a O\n# not before a sentence\n", {}, r"ner\.conll:2: 5 columns"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(text: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        columns_of(text, **settings)


def test_comments_before_a_sentence_are_left_out_and_the_token_hash_is_not() -> None:
    text = "# sent_id = 1\n# text = one # O\none\tO\n#\tO\n\n#\n#\tO\n#tag\tO\n"

    assert columns_of(text) == {"tokens": [["one", "#"], ["#", "#tag"]], "tags": [["O", "O"], ["O", "O"]]}


def test_what_is_either_a_comment_or_a_token_is_refused_until_it_is_said_which() -> None:
    text = "one O\n\n# O\ntwo O\n"

    with pytest.raises(DataError, match=r"ner\.conll:3: '# O' is either a comment or the token '#'.*data\.comments"):
        columns_of(text)
    assert columns_of(text, comments=True)["tokens"] == [["one"], ["two"]]
    assert columns_of(text, comments=False)["tokens"] == [["one"], ["#", "two"]]


def test_ranges_and_empty_nodes_are_left_out_where_a_column_is_called_id() -> None:
    text = "1-2\tdon't\t_\n1\tdo\tAUX\n2\tn't\tPART\n2.1\tgone\tVERB\n"

    assert columns_of(text, fields=["id", "tokens", "tags"]) == {
        "id": [["1", "2"]],
        "tokens": [["do", "n't"]],
        "tags": [["AUX", "PART"]],
    }
    assert columns_of(text, fields=["_", "tokens"]) == {"tokens": [["don't", "do", "n't", "gone"]]}


def test_documents_of_conll_2012_are_one_after_the_other() -> None:
    text = (
        "#begin document (a); part 000\na O\n\n#end document\n#begin document (b); part 000\nb O\n#end document\nc O\n"
    )

    assert columns_of(text)["tokens"] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fields": ["_", "_"]}, "every column is skipped"),
        ({"fields": ["tokens", "tokens"]}, "'tokens' names two columns"),
        ({"fields": []}, "at least 1 item"),
        ({"delimiter": "\\t"}, "at most 1 character"),
        ({"delimiter": "\n"}, "a line's end cannot be between its columns"),
    ],
)
def test_settings_that_no_file_could_be_read_with_are_faults_of_the_recipe(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        conll_config(path="ner.conll", **settings)


def test_files_and_columns_are_known_before_anything_is_read(tmp_path: Path) -> None:
    config = conll_config(files={"train": "a", "validation": "b"}, fields=["_", "tokens", "tags"])

    assert config.given_splits == ("train", "validation")
    assert config.column_names(tmp_path) == ("tokens", "tags")
    assert conll_config(path="a").column_names(tmp_path) == ("tokens", "tags")


def test_a_real_file_has_the_rows_that_its_publisher_counts(test_data: Path) -> None:
    folder = test_data / "ner" / "wnut17"
    lines = (folder / "test.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    published = [json.loads(line) for line in lines]

    rows = build_conll(conll_config(path="test.conll"), folder=folder).load()

    assert rows.to_pylist() == [{"tokens": row["tokens"], "tags": row["tags"]} for row in published]  # type: ignore[union-attr]


@pytest.mark.parametrize("delimiter", [None, "\t"])
def test_real_conllu_has_the_words_of_its_sentences(test_data: Path, delimiter: str | None) -> None:
    config = conll_config(path="sample.conllu", fields=["id", "tokens", "_", "tags"], delimiter=delimiter)

    rows = build_conll(config, folder=test_data / "pos" / "ud_english_ewt").load().to_pydict()  # type: ignore[union-attr]

    assert len(rows["tokens"]) == 220
    assert all(ids == [str(number) for number in range(1, len(ids) + 1)] for ids in rows["id"])
    assert rows["tokens"][0] == ["From", "the", "AP", "comes", "this", "story", ":"]
    assert rows["tags"][0] == ["ADP", "DET", "PROPN", "VERB", "DET", "NOUN", "PUNCT"]

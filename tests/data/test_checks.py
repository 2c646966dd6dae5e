"""Each check finds exactly its rows, and each of its policies does what it says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, get_args

import pyarrow as pa
import pytest

from lmkit.builtin.tasks.config import TextClassificationConfig
from lmkit.data.checks import empty
from lmkit.data.columns import named_columns
from lmkit.data.digests import digests, normalised
from lmkit.data.ledger import Entry, Ledger, SplitAccount
from lmkit.data.prepare import Rows
from lmkit.errors import DataError
from lmkit.kinds.data import ChecksConfig
from lmkit.kinds.task import Column

Prepare = Callable[..., Rows]

ALL_TRAIN = {"train": 1.0, "validation": 0.0, "test": 0.0}


def text_rows(*pairs: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in pairs]


def told_of(ledger: Ledger, reason: str) -> dict[str | None, tuple[int, tuple[int, ...]]]:
    """The rows found for a reason by label: how many, and the first."""
    return {entry.label: (entry.rows, entry.first) for entry in ledger.entries if entry.reason == reason}


def numbers(table: pa.Table) -> list[int]:
    return list(table["row"].to_pylist())


# -- empty

EMPTY = text_rows(
    ("good", "1"), ("", "1"), (" \t\n\u2003", "0"), ("bad", "0"), (None, "1"), ("fine", None), ("dull", " ")
)


def test_empty_rows_are_dropped_and_counted_by_default(prepare: Prepare) -> None:
    rows = prepare(EMPTY, split=ALL_TRAIN)

    assert numbers(rows.splits["train"]) == [0, 3]
    assert rows.ledger.dropped == {"empty": 5}
    assert rows.ledger.entries == (
        Entry("empty", "dropped", "drop", None, "", 1, (5,)),
        Entry("empty", "dropped", "drop", None, " ", 1, (6,)),
        Entry("empty", "dropped", "drop", None, "0", 1, (2,)),
        Entry("empty", "dropped", "drop", None, "1", 2, (1, 4)),
    )


def test_empty_rows_are_an_error_that_names_them_and_the_ways_out(prepare: Prepare) -> None:
    more = [*EMPTY, {"text": "", "label": "1"}]

    with pytest.raises(DataError) as told:
        prepare(more, split=ALL_TRAIN, checks={"on_empty": "error"})

    assert str(told.value) == (
        "6 rows are empty (rows 1, 2, 4, 5, 6, … of the source). Mend the data, or choose what becomes of them "
        "with data.checks.on_empty: drop, warn or allow"
    )


def test_one_empty_row_is_told_in_the_singular(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=re.escape("1 row is empty (row 1 of the source). ")):
        prepare(EMPTY[:2], split=ALL_TRAIN, checks={"on_empty": "error"})


def test_empty_rows_may_be_allowed_and_are_then_texts_without_content(prepare: Prepare) -> None:
    rows = prepare(EMPTY, split=ALL_TRAIN, checks={"on_empty": "allow"})

    train = rows.splits["train"]
    assert numbers(train) == [0, 1, 2, 3, 4]
    assert train["text"][4].as_py() == ""
    assert rows.ledger.found("empty") == 5


@pytest.mark.parametrize("policy", ["warn", "allow"])
def test_nothing_is_no_class_whatever_is_allowed(prepare: Prepare, policy: str) -> None:
    texts = prepare(EMPTY, split=ALL_TRAIN, checks={"on_empty": policy})
    tagged = [{"tokens": ["a", "b"], "tags": tags} for tags in (["O", "B"], ["O", ""], ["\u200b", "B"])]
    words = prepare(tagged, "tokens", split=ALL_TRAIN, checks={"on_empty": policy, "on_conflict": "allow"})

    assert (texts.labels, texts.ledger.dropped) == (("0", "1"), {"without a label": 2})
    assert (words.labels, numbers(words.splits["train"])) == (("B", "O"), [0])
    assert told_of(words.ledger, "without a label") == {None: (2, (1, 2))}


@pytest.mark.parametrize(
    "text",
    ["\u200b", "\ufeff", "\u3164", "\u200d\u2060", "\x00", "\u115f\uffa0", "\u2800", "\u034f", "\U000e0020\ufe0f"],
    ids=ascii,
)
def test_characters_that_show_nothing_are_no_text_no_label_and_no_word(prepare: Prepare, text: str) -> None:
    rows = prepare(text_rows(("good", "1"), (text, "1"), ("bad", "0"), ("x", text)), split=ALL_TRAIN)
    words = [(["a"], ["O"]), ([text, " "], ["O", "O"]), (["b", text], ["B", "O"])]
    tagged = prepare([{"tokens": t, "tags": tags} for t, tags in words], "tokens", split=ALL_TRAIN)

    assert rows.ledger.dropped == {"empty": 2}
    assert numbers(tagged.splits["train"]) == [0, 2]
    assert told_of(tagged.ledger, "with a word without text") == {None: (1, (2,))}
    assert "1 with a word without text" in tagged.ledger.lines()[-1]


def test_nul_characters_are_removed_and_counted_with_their_rows(prepare: Prepare) -> None:
    rows = prepare(text_rows(("good", "p\0os"), ("a\0b\0", "neg"), ("fine", "pos"), ("\0", "neg")), split=ALL_TRAIN)
    tagged = prepare(
        [{"tokens": ["a"], "tags": ["O"]}, {"tokens": [], "tags": []}, {"tokens": ["b", "c\0d"], "tags": ["B\0", "O"]}],
        "tokens",
        split=ALL_TRAIN,
    )

    assert rows.splits["train"]["text"].to_pylist() == ["good", "ab", "fine"]
    assert (rows.labels, rows.ledger.dropped) == (("neg", "pos"), {"empty": 1})
    assert told_of(rows.ledger, "with NUL characters, which were removed") == {"neg": (2, (1, 3)), "pos": (1, (0,))}
    assert tagged.splits["train"].select(["tokens", "tags"]).to_pylist() == [
        {"tokens": ["a"], "tags": ["O"]},
        {"tokens": ["b", "cd"], "tags": ["B", "O"]},
    ]
    assert told_of(tagged.ledger, "with NUL characters, which were removed") == {None: (1, (2,))}


@pytest.mark.parametrize("text", ["👩\u200d👩\u200d👧", "می\u200cشود", "\u0600", "́", "\ue000", "ㅤx"], ids=ascii)
def test_invisible_characters_stay_in_texts_that_show_something(prepare: Prepare, text: str) -> None:
    rows = prepare(text_rows(("good", "1"), (text, "0")), split=ALL_TRAIN)

    assert rows.splits["train"]["text"].to_pylist() == ["good", text]


def test_sentences_without_words_or_tags_are_empty(prepare: Prepare) -> None:
    rows = prepare(
        [
            {"tokens": ["Rome", "fell"], "tags": ["B", "O"]},
            {"tokens": [], "tags": []},
            {"tokens": None, "tags": ["O"]},
            {"tokens": ["Rome"], "tags": None},
        ],
        "tokens",
        split=ALL_TRAIN,
    )

    assert numbers(rows.splits["train"]) == [0]
    assert rows.ledger.dropped == {"empty": 3}


def test_sentences_without_words_may_be_allowed(prepare: Prepare) -> None:
    rows = prepare(
        [{"tokens": ["Rome", "fell"], "tags": ["B", "O"]}, {"tokens": None, "tags": None}],
        "tokens",
        split=ALL_TRAIN,
        checks={"on_empty": "allow"},
    )

    assert rows.splits["train"]["tokens"].to_pylist() == [["Rome", "fell"], []]
    assert rows.splits["train"]["tags"].to_pylist() == [["B", "O"], []]


def test_when_nothing_is_left_the_account_says_why(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"no row is left: 2 rows read = 0 kept \+ 2 dropped \(2 empty\)"):
        prepare(text_rows(("", "1"), (" ", "0")))


# -- conflicting

CONFLICTS = text_rows(("yes", "1"), ("no", "0"), ("no", "1"), ("maybe", "0"), ("no", "0"), ("yes", "1"), ("maybe", "2"))
ALLOW_DOUBLES = {"on_duplicate": "allow"}


def test_rows_that_contradict_each_other_are_an_error_by_default(prepare: Prepare) -> None:
    with pytest.raises(DataError) as told:
        prepare(CONFLICTS, split=ALL_TRAIN)

    assert str(told.value) == (
        "5 rows are conflicting (rows 1, 2, 3, 4, 6 of the source). Mend the data, or choose what becomes of them "
        "with data.checks.on_conflict: drop, warn or allow"
    )


def test_all_sides_of_a_conflict_are_dropped(prepare: Prepare) -> None:
    rows = [*CONFLICTS, {"text": "bad", "label": "0"}]

    found = prepare(rows, split=ALL_TRAIN, checks={"on_conflict": "drop", **ALLOW_DOUBLES})

    assert numbers(found.splits["train"]) == [0, 5, 7]
    assert found.ledger.dropped == {"conflicting": 5}


@pytest.mark.parametrize("policy", ["warn", "allow"])
def test_conflicts_may_be_kept_and_are_counted(prepare: Prepare, policy: str) -> None:
    found = prepare(CONFLICTS, split=ALL_TRAIN, checks={"on_conflict": policy, **ALLOW_DOUBLES})

    assert found.splits["train"].num_rows == 7
    assert told_of(found.ledger, "conflicting") == {"0": (3, (1, 3, 4)), "1": (1, (2,)), "2": (1, (6,))}
    told = [line for line in found.ledger.lines() if line.startswith("noticed")]
    assert told == (["noticed: 5 conflicting"] if policy == "warn" else [])


def test_a_source_text_may_have_several_translations(prepare: Prepare) -> None:
    rows = prepare(
        [{"source": "hi", "target": "salut"}, {"source": "hi", "target": "bonjour"}], "translation", split=ALL_TRAIN
    )

    assert rows.splits["train"].num_rows == 2
    assert rows.ledger.entries == ()


# -- duplicate

DOUBLES = text_rows(("a", "1"), ("b", "0"), ("a", "1"), ("c", "1"), ("a", "1"), ("b", "0"))


@pytest.mark.parametrize(
    ("policy", "kept", "merged"),
    [("merge", [0, 1, 3], 3), ("warn", [0, 1, 2, 3, 4, 5], 0), ("allow", [0, 1, 2, 3, 4, 5], 0)],
)
def test_the_first_of_equal_rows_is_kept_or_all_are(
    prepare: Prepare, policy: str, kept: list[int], merged: int
) -> None:
    rows = prepare(DOUBLES, split=ALL_TRAIN, checks={"on_duplicate": policy})

    assert numbers(rows.splits["train"]) == kept
    assert (rows.ledger.merged, rows.ledger.kept) == (merged, len(kept))
    assert told_of(rows.ledger, "duplicate") == {"0": (1, (5,)), "1": (2, (2, 4))}


def test_duplicates_may_be_an_error(prepare: Prepare) -> None:
    with pytest.raises(DataError) as told:
        prepare(DOUBLES, split=ALL_TRAIN, checks={"on_duplicate": "error"})

    assert str(told.value) == (
        "3 rows are duplicate (rows 2, 4, 5 of the source). Mend the data, or choose what becomes of them "
        "with data.checks.on_duplicate: merge, warn or allow"
    )


def test_rows_that_differ_only_where_the_task_does_not_look_are_duplicates(prepare: Prepare) -> None:
    rows = [
        {"text": "a", "label": "1", "id": 1},
        {"text": "a", "label": "1", "id": 2},
        {"text": "b", "label": "0", "id": 3},
    ]

    found = prepare(rows, split=ALL_TRAIN, checks={"on_duplicate": "merge"})

    assert found.splits["train"]["id"].to_pylist() == [1, 3]


def test_sentences_split_differently_are_no_duplicates() -> None:
    table = pa.table({"tokens": [["a b", "c"], ["a", "b c"], ["a", "b", "c"], ["a b", "c"]]})

    keys = digests(table, ["tokens"]).tolist()

    assert len(set(keys[:3])) == 3
    assert keys[3] == keys[0]


def test_digests_do_not_depend_on_how_a_table_is_chunked() -> None:
    table = pa.table({"text": ["a", "b\u2028", "é", "😀"], "label": ["1", "2", "1", "2"]})
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])

    assert digests(pieces, ["text", "label"]).tolist() == digests(table, ["text", "label"]).tolist()


def test_digests_are_the_same_under_every_version_of_unicode() -> None:
    # U+1FAE8 came with Unicode 15: repr writes it as an escape in Python 3.11 and as it is in later ones.
    table = pa.table({"text": ["\U0001fae8 naïve"]})

    written = hashlib.blake2b(rb"('\U0001fae8 na\xefve',)", digest_size=8).digest()
    assert digests(table, ["text"]).tolist() == [int.from_bytes(written, "little")]


# -- overlapping

LEAKS = {
    "train": text_rows(("a", "1"), ("b", "0"), ("c", "1"), ("d", "0"), ("e", "1"), ("f", "0")),
    "validation": text_rows(("g", "1"), ("b", "0")),
    "test": text_rows(("c", "0"), ("h", "1"), ("h", "1"), ("b", "0")),
}


def test_training_rows_that_occur_elsewhere_are_noticed_by_their_inputs(prepare: Prepare) -> None:
    rows = prepare(LEAKS)

    assert rows.splits["train"].num_rows == 6
    assert told_of(rows.ledger, "in another split too") == {"0": (1, (1,)), "1": (1, (2,))}
    assert rows.ledger.lines()[-1] == (
        "noticed: 1 duplicate (test 1); 2 in another split too (train 2); "
        "1 in another split with another target (train 1)"
    )


def test_dropping_an_overlap_removes_the_training_rows_alone(prepare: Prepare) -> None:
    rows = prepare(LEAKS, checks={"on_overlap": "drop"})

    assert {split: numbers(table) for split, table in rows.splits.items()} == {
        "train": [0, 3, 4, 5],
        "validation": [0, 1],
        "test": [0, 1, 2, 3],
    }
    assert rows.ledger.dropped == {"in another split too": 2}
    assert (rows.ledger.read, rows.ledger.kept) == (12, 10)


def test_an_overlap_may_be_an_error(prepare: Prepare) -> None:
    with pytest.raises(DataError) as told:
        prepare(LEAKS, checks={"on_overlap": "error"})

    assert str(told.value) == (
        "2 rows are in another split too (rows 1, 2 of the train split). Mend the data, or choose what becomes of them "
        "with data.checks.on_overlap: drop, warn or allow"
    )


def test_an_overlap_may_be_allowed_and_is_counted(prepare: Prepare) -> None:
    rows = prepare(LEAKS, checks={"on_overlap": "allow"})

    assert rows.splits["train"].num_rows == 6
    assert rows.ledger.found("in another split too") == 2


def test_overlaps_in_divided_rows_are_found_too(prepare: Prepare) -> None:
    rows = text_rows(*((f"text {number // 2}", str(number % 2)) for number in range(80)))  # each text has two labels
    checks = {"on_conflict": "allow"}

    warned = prepare(rows, checks=checks)
    dropped = prepare(rows, checks={**checks, "on_overlap": "drop"})

    texts = {split: table["text"].to_pylist() for split, table in warned.splits.items()}
    leaked = [text for text in texts["train"] if text in texts["validation"] + texts["test"]]
    assert (
        0 < len(leaked) == warned.ledger.found("in another split too") == dropped.ledger.dropped["in another split too"]
    )
    assert dropped.splits["train"]["text"].to_pylist() == [text for text in texts["train"] if text not in leaked]


def test_when_every_training_row_overlaps_there_is_nothing_to_drop_to(prepare: Prepare) -> None:
    leaks = {"train": LEAKS["train"][:2], "test": LEAKS["train"]}

    with pytest.raises(
        DataError, match=r"every training row occurs in another split too.*on_overlap: drop leaves none"
    ):
        prepare(leaks, checks={"on_overlap": "drop"})


RESPELT = {
    "train": text_rows(
        ("A fine film", "1"),
        ("a  FINE film ", "1"),
        ("A ﬁne ﬁlm", "1"),  # ligatures
        ("Straße", "0"),
        ("a fine film!", "0"),
        ("Cafe\u0301", "0"),  # decomposed
        ("İ", "1"),
    ),
    "test": text_rows(("A fine film", "1"), ("STRASSE", "0"), ("CAFÉ", "0")),
}


def test_rows_that_leak_in_another_case_spacing_or_unicode_form_are_found_beside_those_that_leak_exactly(
    prepare: Prepare,
) -> None:
    rows = prepare(RESPELT, checks={"on_overlap": "drop"})

    assert told_of(rows.ledger, "in another split too") == {"1": (1, (0,))}
    assert told_of(rows.ledger, "in another split too but for case or spacing") == {"0": (2, (3, 5)), "1": (2, (1, 2))}
    assert numbers(rows.splits["train"]) == [4, 6]


def test_words_leak_in_another_case_too_however_they_are_divided(prepare: Prepare) -> None:
    given = {
        "train": [
            {"tokens": ["In", "ROME"], "tags": ["O", "B"]},
            {"tokens": ["In Rome"], "tags": ["B"]},
            {"tokens": ["InRome"], "tags": ["O"]},
        ],
        "test": [{"tokens": ["In", "Rome"], "tags": ["O", "B"]}],
    }

    found = prepare(given, "tokens").ledger

    assert told_of(found, "in another split too but for case or spacing") == {None: (2, (0, 1))}


@pytest.mark.parametrize("other", ["validation", "test"])
def test_rows_with_another_target_in_another_split_are_counted(prepare: Prepare, other: str) -> None:
    train = text_rows(("a", "1"), ("b", "0"), ("C", "1"), ("d", "1"), ("d", "0"), ("e", "0"), ("f", "1"))
    given = {"train": train, other: text_rows(("a", "1"), ("b", "1"), ("b", "0"), ("c", "0"), ("d", "1"))}
    checks = {"on_conflict": "allow"}

    found = prepare(given, checks=checks).ledger

    assert told_of(found, "in another split with another target") == {"0": (2, (1, 4)), "1": (1, (2,))}
    assert prepare(given, checks={**checks, "on_overlap": "drop"}).ledger.dropped == {
        "in another split too": 4,
        "in another split too but for case or spacing": 1,
    }


def test_translations_contradict_nothing_in_another_split(prepare: Prepare) -> None:
    given = {"train": [{"source": "a", "target": "b"}], "test": [{"source": "a", "target": "c"}]}

    assert prepare(given, "translation").ledger.found("in another split with another target") == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ünï\u00a0Code\t\n x", "ünï code x"),
        ("①", "1"),
        ("ΌΣΟΣ", "όσοσ"),
        ("", ""),
        (["New", "york "], "new york"),
        ("a\u200b fi\u00adlm\ufeff", "a film"),
    ],
)
def test_a_normalised_text_has_no_case_one_space_between_words_and_one_unicode_form(text: Any, plain: str) -> None:
    assert normalised(text) == plain
    assert normalised(plain) == plain


# -- all policies

PLANTED = {
    "train": text_rows(
        ("good film", "1"),
        ("bad film", "0"),
        ("", "1"),
        ("good film", "1"),
        ("odd", "1"),
        ("odd", "0"),
        ("leaked", "1"),
        ("also leaked", "0"),
        ("dull film", "0"),
    ),
    "test": text_rows(("leaked", "1"), ("ALSO  LEAKED", "0"), ("new", "1"), ("new", "0"), ("", "0"), ("fresh", "1")),
}
QUIET = {"on_empty": "drop", "on_conflict": "drop", "on_duplicate": "allow", "on_overlap": "allow"}
OVERLAP = ("in another split too", "in another split too but for case or spacing")


@pytest.mark.parametrize(
    ("key", "reasons", "rows"),
    [
        pytest.param("on_empty", ("empty",), {"train": [2], "test": [4]}, id="empty"),
        pytest.param("on_conflict", ("conflicting",), {"train": [4, 5], "test": [2, 3]}, id="conflict"),
        pytest.param("on_duplicate", ("duplicate",), {"train": [3], "test": []}, id="duplicate"),
        pytest.param("on_overlap", OVERLAP, {"train": [6, 7], "test": []}, id="overlap"),
    ],
)
@pytest.mark.parametrize("policy", ["error", "drop", "merge", "warn", "allow"])
def test_every_policy_does_what_it_says_at_each_of_its_settings(
    prepare: Prepare, key: str, reasons: tuple[str, ...], rows: dict[str, list[int]], policy: str
) -> None:
    if policy not in get_args(ChecksConfig.model_fields[key].annotation):
        assert policy == ("drop" if key == "on_duplicate" else "merge")
        return
    checks = {**QUIET, key: policy}
    if policy == "error":
        with pytest.raises(DataError, match=rf"{reasons[0]} \(rows? \d.*data\.checks\.{key}: "):
            prepare(PLANTED, checks=checks)
        return

    found = prepare(PLANTED, checks=checks)

    gone = policy in ("drop", "merge")
    ledger = found.ledger
    told = [entry for entry in ledger.entries if entry.reason in reasons]
    assert {entry.policy for entry in told} == {policy}
    assert {entry.fate for entry in told} == {{"drop": "dropped", "merge": "merged"}.get(policy, "kept")}
    for split, numbers_found in rows.items():
        first = sorted(number for entry in told if entry.split == split for number in entry.first)
        assert first == numbers_found
        assert set(numbers_found) <= set(numbers(found.splits[split])) or gone
        assert not set(numbers_found) & set(numbers(found.splits[split])) or not gone
    count = sum(map(len, rows.values()))
    assert sum(ledger.dropped.get(reason, 0) for reason in reasons) == (count if policy == "drop" else 0)
    assert ledger.merged == (count if policy == "merge" else 0)
    assert any(reasons[0] in line for line in ledger.lines() if line.startswith("noticed")) == (policy == "warn")
    assert ledger.read == 15 == ledger.kept + ledger.merged + sum(ledger.dropped.values())


# -- given splits


def test_findings_and_errors_in_given_splits_name_the_split(prepare: Prepare) -> None:
    given = {**LEAKS, "validation": text_rows(("x", "1"), ("", "0"), ("y", "0"))}

    rows = prepare(given, checks={"on_overlap": "allow"})

    assert rows.ledger.entries[0] == Entry("empty", "dropped", "drop", "validation", "0", 1, (1,))
    with pytest.raises(DataError, match=re.escape("1 row is empty (row 1 of the validation split)")):
        prepare(given, checks={"on_empty": "error"})


def test_given_splits_need_a_train_split(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"the source gives no train split; it gives test, validation"):
        prepare({"test": LEAKS["test"], "validation": LEAKS["validation"]})


def test_a_given_split_without_rows_is_told_with_its_account(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"the test split is empty: 2 rows read = 0 kept \+ 2 dropped \(2 empty\)"):
        prepare({**LEAKS, "test": text_rows(("", "1"), (" ", "0"))})


# -- columns


def test_columns_are_found_under_the_sources_names_and_kept_under_the_tasks(prepare: Prepare) -> None:
    rows = prepare(
        [{"sentence": "good", "class": 1, "film": "A"}, {"sentence": "bad", "class": 0, "film": "B"}],
        columns={"text": "sentence", "label": "class"},
        split=ALL_TRAIN,
    )

    assert rows.splits["train"].to_pylist() == [
        {"film": "A", "text": "good", "label": "1", "row": 0},
        {"film": "B", "text": "bad", "label": "0", "row": 1},
    ]


def test_one_column_may_serve_as_source_and_target(prepare: Prepare) -> None:
    rows = prepare(
        [{"text": "copy me"}, {"text": "me too"}],
        "translation",
        columns={"source": "text", "target": "text"},
        split=ALL_TRAIN,
    )

    assert rows.splits["train"].select(["source", "target"]).to_pylist() == [
        {"source": "copy me", "target": "copy me"},
        {"source": "me too", "target": "me too"},
    ]


def test_a_column_that_is_not_there_is_told_with_those_that_are_and_the_nearest(prepare: Prepare) -> None:
    with pytest.raises(DataError) as told:
        prepare([{"id": 1, "texts": "good", "label": "1"}])

    assert str(told.value) == (
        "the source has no column 'text'; it has 'id', 'texts', 'label'. "
        "Say which column is meant: data.columns: {text: texts}"
    )


def test_several_missing_columns_are_told_at_once_without_guessing(prepare: Prepare) -> None:
    given = {"train": LEAKS["train"], "test": [{"id": 1, "score": 0.5}]}

    with pytest.raises(DataError) as told:
        prepare(given)

    assert str(told.value) == (
        "the test split has no column 'text', 'label'; it has 'id', 'score'. "
        "Say which column is meant: data.columns: {text: …}"
    )


def test_a_renamed_column_that_is_not_there_is_told_by_the_sources_name(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"has no column 'sentense'; .*data\.columns: \{text: sentence\}"):
        prepare([{"sentence": "good", "label": "1"}], columns={"text": "sentense"})


def test_tags_may_be_whole_numbers_that_the_recipe_names(prepare: Prepare) -> None:
    rows = [{"tokens": ["Rome", "fell"], "tags": [1, 0]}]

    assert prepare(rows, "tokens", split=ALL_TRAIN).labels == ("0", "1")
    named = prepare(rows, "tokens", split=ALL_TRAIN, labels=((0, "O"), (1, "B-LOC")))
    assert named.splits["train"]["tags"].to_pylist() == [["B-LOC", "O"]]
    with pytest.raises(DataError, match="row 0 has '1', which data.labels does not name"):
        prepare(rows, "tokens", split=ALL_TRAIN, labels=((0, "O"),))


def test_rows_that_are_not_kept_need_no_name_of_their_label(prepare: Prepare) -> None:
    rows = text_rows(("a", "good"), ("b", "bad"), ("c", "meh"))
    names = (("good", "pos"), ("bad", "neg"))

    found = prepare(rows, split=ALL_TRAIN, labels=names, keep={"column": "label", "values": ["good", "bad"]})
    tagged = [{"tokens": ["a", "b"], "tags": tags, "of": "x"} for tags in (["0", "1"], ["2", None])]
    tagged[1]["of"] = "y"
    words = prepare(
        tagged, "tokens", split=ALL_TRAIN, labels=((0, "O"), (1, "B")), keep={"column": "of", "values": ["x"]}
    )

    assert (found.labels, found.ledger.dropped) == (("neg", "pos"), {"not kept": 1})
    assert words.splits["train"]["tags"].to_pylist() == [["O", "B"]]


def test_words_and_tags_of_another_number_are_refused_with_their_rows(prepare: Prepare) -> None:
    rows = [
        {"tokens": ["a", "b"], "tags": ["O", "B"]},
        {"tokens": ["c"], "tags": ["O", "O"]},
        {"tokens": ["d"], "tags": ["B"]},
    ]

    with pytest.raises(
        DataError, match=re.escape("1 row is without one tag for each word (row 1 of the source): row 1 has")
    ):
        prepare(rows, "tokens", split=ALL_TRAIN)
    with pytest.raises(DataError, match=re.escape("(row 1 of the test split): row 1 has 1 tokens and 2 tags. Mend")):
        prepare({"train": [rows[0]], "test": rows}, "tokens")


def test_a_task_may_read_numbers_and_sets_of_labels() -> None:
    columns = (Column("text", "text", "input"), Column("score", "number", "target"), Column("topics", "tags", "target"))
    values = {
        "text": ["a", "b", "c", "d", "e"],
        "score": [1, 2.5, None, -1, 0],
        "topics": [["x", "y"], [], ["x"], None, ["\u200b"]],
    }

    named = named_columns(pa.table(values), {}, columns, "rows.jsonl")
    written = pa.table(values | {"score": ["1", "2.5", "", "-1e0", " 0"]})

    assert named["score"].to_pylist() == [1.0, 2.5, None, -1.0, 0.0]
    assert named_columns(written, {}, columns, "rows.csv")["score"].equals(named["score"])
    assert named["topics"].to_pylist() == [["x", "y"], [], ["x"], [], ["\u200b"]]
    assert empty(named, columns).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("value", ["many", float("inf"), float("nan"), True, ["1"]], ids=repr)
def test_what_is_no_number_is_refused_where_a_task_reads_one(value: Any) -> None:
    table = pa.table({"score": [value]})

    with pytest.raises(
        DataError, match=r"a\.jsonl, column 'score': (row 0 has .*; a number was|numbers were) expected"
    ):
        named_columns(table, {}, (Column("score", "number", "target"),), "a.jsonl")


def test_a_tag_that_no_training_row_has_is_a_tag_and_noted(prepare: Prepare) -> None:
    given = {
        "train": [{"tokens": ["a", "b"], "tags": ["O", "B"]}],
        "test": [{"tokens": ["c", "d"], "tags": ["X", "O"]}, {"tokens": ["e"], "tags": ["X"]}],
    }

    rows = prepare(given, "tokens")

    assert rows.labels == ("B", "O", "X")
    assert rows.ledger.notes == ("test has tags that no training row has: 'X' (2); the model cannot learn them",)


def test_a_column_that_is_there_twice_stops_nothing_where_nothing_uses_it() -> None:
    table = pa.Table.from_arrays([pa.array(["x"])] * 4, names=["text", "label", "id", "id"])
    columns = TextClassificationConfig(use="text-classification").columns

    assert named_columns(table, {}, columns, "a.parquet").column_names == ["text", "label", "row"]
    with pytest.raises(DataError, match=r"a\.parquet has 2 columns 'text'; one was expected"):
        named_columns(table.rename_columns(["text", "label", "text", "id"]), {}, columns, "a.parquet")


@pytest.mark.parametrize(
    ("task", "row", "told"),
    [
        ("text", {"text": 5, "label": "1"}, "the source, column 'text': text was expected for 'text', int64 was found"),
        ("text", {"text": ["a"], "label": "1"}, "text was expected for 'text', list<"),
        ("text", {"text": "a", "label": 0.5}, "column 'label': a label is a name or a whole number, double was found"),
        ("text", {"text": "a", "label": ["x"]}, "a label is a name or a whole number, list<"),
        ("text", {"text": "a", "label": {"is": 1}}, "a label is a name or a whole number, struct<"),
        (
            "tokens",
            {"tokens": "a b", "tags": ["O"]},
            "column 'tokens': lists of text were expected for 'tokens', string",
        ),
        ("tokens", {"tokens": ["a"], "tags": [0.5]}, "column 'tags': lists of text were expected for 'tags', list<"),
        ("tokens", {"tokens": [3], "tags": ["O"]}, "column 'tokens': lists of text were expected for 'tokens', list<"),
        ("tokens", {"tokens": ["a"], "tags": "O"}, "lists of text were expected for 'tags', string was found"),
        ("tokens", {"tokens": ["a", None], "tags": ["O", "O"]}, "column 'tokens': row 1 has a null in its list"),
        ("translation", {"source": "a", "target": 7}, "text was expected for 'target', int64 was found"),
    ],
)
def test_a_column_of_the_wrong_type_is_told(prepare: Prepare, task: str, row: dict[str, Any], told: str) -> None:
    rows = [{"tokens": ["x"], "tags": ["O"]}, row] if "None" in str(row) else [row]

    with pytest.raises(DataError, match=re.escape(told)):
        prepare(rows, task)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([1, 0, 10, 2], ("0", "1", "2", "10")),
        ([True, False, True, False], ("false", "true")),
        (["pos", "neg", "10", "9"], ("9", "10", "neg", "pos")),
        (["010", "10", "b", "A"], ("010", "10", "A", "b")),
        (["-1", "1", "0", "-1"], ("0", "1", "-1")),
    ],
    ids=["numbers", "booleans", "names and numbers", "text is not made a number", "negative numbers are names"],
)
def test_labels_are_ordered_by_number_then_by_name(prepare: Prepare, labels: list[Any], names: tuple[str, ...]) -> None:
    rows = prepare(text_rows(*((f"text {n}", label) for n, label in enumerate(labels))), split=ALL_TRAIN)

    assert rows.labels == names


def test_tags_are_the_labels_of_sentences(prepare: Prepare) -> None:
    rows = prepare(
        [{"tokens": ["a", "b"], "tags": ["O", "B-PER"]}, {"tokens": ["c"], "tags": ["O"]}], "tokens", split=ALL_TRAIN
    )

    assert rows.labels == ("B-PER", "O")
    assert rows.ledger.splits == {"train": SplitAccount(2, {"O": 2, "B-PER": 1})}


def test_a_task_that_writes_text_has_no_labels(prepare: Prepare) -> None:
    rows = prepare([{"source": "a", "target": "b"}, {"source": "c", "target": "d"}], "translation", split=ALL_TRAIN)

    assert rows.labels == ()
    assert rows.ledger.splits == {"train": SplitAccount(2)}


def test_one_label_alone_is_nothing_to_learn(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"the training rows have one label only, '1'; there is nothing to tell apart"):
        prepare(text_rows(("a", "1"), ("b", "1")), split=ALL_TRAIN)


def test_sentences_without_any_tag_are_nothing_to_learn(prepare: Prepare) -> None:
    with pytest.raises(DataError, match="the training rows have no label"):
        prepare([{"tokens": [], "tags": []}], "tokens", split=ALL_TRAIN, checks={"on_empty": "allow"})


def test_a_label_that_training_lacks_is_told_with_its_split_and_a_way_out(prepare: Prepare) -> None:
    given = {**LEAKS, "test": text_rows(("x", "1"), ("y", "2"), ("z", "mixed"))}

    with pytest.raises(DataError, match=r"test has labels that no training row has: '2', 'mixed'; .*data\.keep"):
        prepare(given)


LABELS = ((0, "negative"), (1, "positive"))


def test_labels_have_the_names_that_the_recipe_gives_them(prepare: Prepare) -> None:
    rows = prepare(text_rows(("a", 1), ("b", 0), ("c", 1)), split=ALL_TRAIN, labels=LABELS)

    assert rows.labels == ("negative", "positive")
    assert rows.splits["train"]["label"].to_pylist() == ["positive", "negative", "positive"]


def test_tags_have_them_too(prepare: Prepare) -> None:
    given = [{"tokens": ["a", "b"], "tags": ["0", "1"]}, {"tokens": ["c"], "tags": ["1"]}]

    rows = prepare(given, "tokens", split=ALL_TRAIN, labels=(("0", "O"), ("1", "B-PER")))

    assert rows.splits["train"]["tags"].to_pylist() == [["O", "B-PER"], ["B-PER"]]


def test_a_value_without_a_name_is_told_with_its_row(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"row 1 has '2', which data\.labels does not name; it names '0'"):
        prepare(text_rows(("a", 1), ("b", 2)), split=ALL_TRAIN, labels=LABELS)


@pytest.mark.parametrize(
    "labels",
    [
        ("Good", "good", "bad"),
        ("good", "bad", "good "),
        ("new york", "bad", "new  york"),
        ("caf\u00e9", "bad", "cafe\u0301"),
        ("good", "bad", "good\u200b"),
        ("good", "bad", "\ufeffgood"),
        ("pos", "bad", "ｐos"),
    ],
    ids=ascii,
)
def test_labels_that_look_the_same_are_refused(prepare: Prepare, labels: tuple[str, ...]) -> None:
    rows = text_rows(*((f"text {number}", label) for number, label in enumerate(labels)))
    only_in_test = {"train": rows[:2], "test": rows[2:]}
    told = r"differ in case, spacing, Unicode form or invisible characters only\. Say what each value is called"

    for given in (rows, only_in_test):
        with pytest.raises(DataError, match=told):
            prepare(given, **({} if given is only_in_test else {"split": ALL_TRAIN}))


def test_tags_that_look_the_same_are_refused_and_their_case_may_mean_something(prepare: Prepare) -> None:
    def tagged(*tags: str) -> Rows:
        return prepare([{"tokens": list("abc"), "tags": tags}], "tokens", split=ALL_TRAIN)

    assert tagged("NN", "nn", "O").labels == ("NN", "O", "nn")
    with pytest.raises(DataError, match=r"'B-PER' and 'B-PER\\u200b' differ in spacing, Unicode form or invisible"):
        tagged("B-PER", "B-PER\u200b", "O")


def test_labels_that_differ_in_case_are_one_or_two_as_the_recipe_says(
    prepare: Prepare,
) -> None:
    rows = text_rows(("a", "IT"), ("b", "it"), ("c", "x"))

    two = prepare(rows, split=ALL_TRAIN, labels=(("IT", "IT"), ("it", "it"), ("x", "x")))
    one = prepare(rows, split=ALL_TRAIN, labels=(("IT", "it"), ("it", "it"), ("x", "x")))

    assert (two.labels, one.labels) == (("IT", "it", "x"), ("it", "x"))


def test_five_hundred_labels_are_labels(prepare: Prepare) -> None:
    rows = prepare(text_rows(*((f"text {n}", f"label {n % 500}") for n in range(1000))), split=ALL_TRAIN)

    assert len(rows.labels) == 500

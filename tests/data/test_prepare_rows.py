"""Preparing rows accounts for each of them: read = kept + merged + dropped, whatever the rows and policies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.data.ledger import Ledger, SplitAccount
from lmkit.data.prepare import Rows
from lmkit.errors import DataError

Prepare = Callable[..., Rows]
Row = dict[str, Any]

ALL_TRAIN = {"train": 1.0, "validation": 0.0, "test": 0.0}

random_rows = st.lists(
    st.builds(
        lambda text, label, source: {"text": text, "label": label, "source": source},
        st.sampled_from([*"abcdefgh", "A", " b", "ｃ", "", " ", None]),
        st.sampled_from(["0", "1", "0", "1", "0", "1", "", None]),
        st.sampled_from(["web", "book", "web", None]),
    ),
    min_size=2,
    max_size=14,
)
policies = st.fixed_dictionaries(
    {
        "on_empty": st.sampled_from(["drop", "allow", "warn"] * 3 + ["error"]),
        "on_conflict": st.sampled_from(["drop", "warn", "allow"] * 3 + ["error"]),
        "on_duplicate": st.sampled_from(["merge", "warn", "allow"] * 3 + ["error"]),
        "on_overlap": st.sampled_from(["drop", "warn", "allow"] * 3 + ["error"]),
    }
)
"""Each policy, errors the least often, so that most accounts have more to tell."""
kept_values = st.none() | st.lists(st.sampled_from(["web", "book", "letter"]), max_size=2, unique=True)

FATES = {"drop": "dropped", "merge": "merged", "warn": "kept", "allow": "kept"}

Item = tuple[int, str, str]
"""A row's number, text and label."""


class Books:
    """Where each row of one table goes, by loops over rows in plain Python."""

    def __init__(self, rows: Sequence[Row], checks: dict[str, str], keep: Sequence[str] | None = None) -> None:
        self.checks = checks
        self.entries: dict[tuple[str, str, str], list[int]] = {}
        """The rows by reason, fate and label."""
        self.refused: str | None = None
        self.left: list[Item] = [(n, row["text"] or "", row["label"] or "") for n, row in enumerate(rows)]
        if keep is not None:
            self.note("not kept", "dropped", [item for item in self.left if rows[item[0]]["source"] not in keep])
        self.settle("empty", "on_empty", [i for i in self.left if not i[1].strip() or not i[2].strip()])
        if not self.refused:
            self.note("without a label", "dropped", [item for item in self.left if not item[2].strip()])
        self.settle(
            "conflicting",
            "on_conflict",
            [a for a in self.left if any(a[1] == b[1] and a[2] != b[2] for b in self.left)],
        )
        self.settle(
            "duplicate",
            "on_duplicate",
            [a for a in self.left if any(b[1:] == a[1:] and b[0] < a[0] for b in self.left)],
        )

    def settle(self, reason: str, key: str, found: list[Item]) -> None:
        if not found or self.refused:
            return
        if self.checks[key] == "error":
            self.refused = key
        else:
            self.note(reason, FATES[self.checks[key]], found)

    def note(self, reason: str, fate: str, found: list[Item]) -> None:
        for number, _, label in found:
            self.entries.setdefault((reason, fate, label), []).append(number)
        if fate != "kept":
            self.left = [item for item in self.left if item not in found]

    @property
    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.left]

    @property
    def labels(self) -> set[str]:
        return {label for _, _, label in self.left}


def assert_accounted(ledger: Ledger, books: dict[str | None, Books]) -> None:
    """The ledger's entries are the books', by split, label and reason, with the numbers of the first rows."""
    kept = {(entry.reason, entry.fate, entry.split, entry.label): (entry.rows, entry.first) for entry in ledger.entries}
    assert kept == {
        (reason, fate, split, label): (len(numbers), tuple(numbers[:5]))
        for split, its in books.items()
        for (reason, fate, label), numbers in its.entries.items()
    }
    assert len(kept) == len(ledger.entries)
    assert ledger.read == ledger.kept + ledger.merged + sum(ledger.dropped.values())
    assert ledger.kept == sum(account.rows for account in ledger.splits.values())
    for split, read in (ledger.given or {}).items():
        mine = ledger.of_split(split)
        assert (mine.read, mine.kept) == (read, ledger.splits[split].rows)
    for account in ledger.splits.values():
        assert account.labels is None or account.rows == sum(account.labels.values())


@settings(max_examples=200, deadline=None)
@given(rows=random_rows, checks=policies, keep=kept_values)
def test_every_row_of_any_table_goes_where_a_plain_loop_says(
    prepare: Prepare, rows: list[Row], checks: dict[str, str], keep: list[str] | None
) -> None:
    books = Books(rows, checks, keep)
    chosen = {} if keep is None else {"keep": {"column": "source", "values": keep}}

    def found() -> Rows:
        return prepare(rows, checks=checks, split=ALL_TRAIN, **chosen)

    if books.refused:
        with pytest.raises(DataError, match=f"data.checks.{books.refused}"):
            found()
    elif len(books.labels) < 2:
        with pytest.raises(DataError, match="no row is left" if not books.left else "one label only"):
            found()
    else:
        result = found()
        assert result.splits["train"]["row"].to_pylist() == books.numbers
        assert result.ledger.read == len(rows)
        assert_accounted(result.ledger, {None: books})


@settings(max_examples=200, deadline=None)
@given(train=random_rows, validation=random_rows, test=random_rows, checks=policies)
def test_every_row_of_given_splits_goes_where_a_plain_loop_says(
    prepare: Prepare, train: list[Row], validation: list[Row], test: list[Row], checks: dict[str, str]
) -> None:
    given_rows = {"train": train, "validation": validation, "test": test}
    books: dict[str | None, Books] = {split: Books(rows, checks) for split, rows in given_rows.items()}
    others = [text for split in ("validation", "test") for _, text, _ in books[split].left]
    leaked = [item for item in books["train"].left if item[1] in others]
    respelt = [spelt(text) for text in others]
    alike = [item for item in books["train"].left if item not in leaked and spelt(item[1]) in respelt]
    refused = any(its.refused for its in books.values())
    emptied = not all(its.left for its in books.values())
    all_leaked = len(leaked) + len(alike) == len(books["train"].left)
    books["train"].settle("in another split too", "on_overlap", leaked)
    books["train"].settle("in another split too but for case or spacing", "on_overlap", alike)
    answers = [(spelt(text), label) for split in ("validation", "test") for _, text, label in books[split].left]
    against = [
        item
        for item in books["train"].left
        if any(text == spelt(item[1]) and label != item[2] for text, label in answers)
    ]
    books["train"].settle("in another split with another target", "on_overlap", against)
    refused = refused or books["train"].refused is not None or (all_leaked and checks["on_overlap"] == "drop")
    strange = any(books[split].labels - books["train"].labels for split in ("validation", "test"))

    if refused or emptied or len(books["train"].labels) < 2 or strange:
        with pytest.raises(DataError):
            prepare(given_rows, checks=checks)
        return
    found = prepare(given_rows, checks=checks)

    assert {split: table["row"].to_pylist() for split, table in found.splits.items()} == {
        split: its.numbers for split, its in books.items()
    }
    assert found.ledger.given == {split: len(rows) for split, rows in given_rows.items()}
    assert_accounted(found.ledger, books)


def spelt(text: str) -> str:
    return text.replace("ｃ", "c").lower().strip()


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(random_rows, min_size=1, max_size=3).map(lambda parts: [row for part in parts for row in part]),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5, 0.0), (0.4, 0.3, 0.1)]),
    checks=policies,
    limit=st.none() | st.integers(2, 10),
)
def test_every_row_of_divided_tables_is_accounted_for_before_and_after_the_division(
    prepare: Prepare, rows: list[Row], shares: tuple[float, ...], checks: dict[str, str], limit: int | None
) -> None:
    split = dict(zip(("train", "validation", "test"), shares, strict=True))
    books = Books(rows, checks)
    try:
        found = prepare(rows, split=split, checks=checks, limit=limit)
    except DataError as refused:
        whole = (
            r"no row is left|split is empty|rows are equal|one label only|no training row has|"
            r"every training row occurs|on_overlap"
        )
        assert books.refused in str(refused) if books.refused else re.search(whole, str(refused))
        return

    ledger = found.ledger
    before = {(e.reason, e.fate, e.label): (e.rows, e.first) for e in ledger.entries if e.reason in BEFORE}
    assert before == {key: (len(numbers), tuple(numbers[:5])) for key, numbers in books.entries.items()}
    assert {e.split for e in ledger.entries if e.reason in BEFORE} <= {None}
    left = {name: table["row"].to_pylist() for name, table in found.splits.items()}
    held = [number for numbers in left.values() for number in numbers]
    assert sorted(held) == sorted(set(held) & set(books.numbers))
    after = [entry for entry in ledger.entries if entry.reason not in BEFORE]
    assert len(held) + sum(entry.rows for entry in after if entry.fate == "dropped") == len(books.left)
    elsewhere = [spelt(rows[n]["text"] or "") for name, numbers in left.items() if name != "train" for n in numbers]
    leaked = sum(spelt(rows[number]["text"] or "") in elsewhere for number in left["train"])
    if checks["on_overlap"] == "drop":
        assert leaked == 0
    elif limit is None:
        assert leaked == sum(entry.rows for entry in after if entry.reason.startswith("in another split too"))
    assert ledger.read == len(rows) == ledger.kept + ledger.merged + sum(ledger.dropped.values())
    assert ledger.kept == len(held) == sum(account.rows for account in ledger.splits.values())


BEFORE = ("empty", "without a label", "conflicting", "duplicate")
"""What is looked for before rows are divided."""

split_rows = st.lists(
    st.builds(lambda text: {"source": text, "target": text.upper()}, st.sampled_from([f"text {n}" for n in range(30)])),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(
    rows=split_rows,
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.4, 0.2, 0.2), (0.34, 0.33, 0.0), (0.7, 0.2, 0.1)]),
    duplicate=st.sampled_from(["warn", "merge"]),
    limit=st.none() | st.integers(1, 10),
    seed=st.integers(0, 3),
)
def test_every_row_is_in_one_split_or_counted_as_gone(
    prepare: Prepare, rows: list[Row], shares: tuple[float, ...], duplicate: str, limit: int | None, seed: int
) -> None:
    split = dict(zip(("train", "validation", "test"), shares, strict=True), seed=seed)
    checks = {"on_duplicate": duplicate}
    try:
        found = prepare(rows, "translation", split=split, checks=checks, limit=limit)
    except DataError:
        with pytest.raises(DataError, match=r"split is empty|rows are equal"):
            prepare(rows, "translation", split=split, checks=checks, limit=limit)
        return

    numbers = [number for table in found.splits.values() for number in table["row"].to_pylist()]
    ledger = found.ledger
    assert len(set(numbers)) == len(numbers) == ledger.kept
    assert ledger.read == len(rows) == ledger.kept + ledger.merged + sum(ledger.dropped.values())
    assert set(ledger.dropped) <= {"in no split", "beyond the limit"}
    assert ledger.dropped.get("in no split", 0) == 0 or sum(shares) < 1
    assert found.splits["train"].num_rows <= (limit or len(rows))
    assert ledger.splits == {name: SplitAccount(table.num_rows) for name, table in found.splits.items()}
    for entry in ledger.entries:
        gone = entry.split if entry.reason == "beyond the limit" else None
        assert (entry.split, entry.label, len(entry.first)) == (gone, None, min(5, entry.rows))
        assert entry.fate == "kept" or set(entry.first).isdisjoint(numbers)
    for table in found.splits.values():
        for row in table.to_pylist():
            assert {"source": row["source"], "target": row["target"]} == rows[row["row"]]


# -- the limit


def test_the_limit_draws_training_rows_by_content_and_leaves_the_other_splits_whole(prepare: Prepare) -> None:
    rows = [{"text": f"text {number}", "label": str(number % 2)} for number in range(200)]

    whole = prepare(rows)
    limited = prepare(rows, limit=40)
    reversed_ = prepare(rows[::-1], limit=40)

    drawn = limited.splits["train"]["text"].to_pylist()
    assert len(drawn) == 40
    assert drawn == [text for text in whole.splits["train"]["text"].to_pylist() if text in set(drawn)]
    assert drawn == reversed_.splits["train"]["text"].to_pylist()[::-1]
    assert limited.ledger.dropped == {"beyond the limit": 120}
    for split in ("validation", "test"):
        assert limited.splits[split].equals(whole.splits[split])


def test_the_limit_draws_from_a_file_that_is_sorted_by_label_as_from_any(prepare: Prepare) -> None:
    rows = [{"text": f"text {number}", "label": "01"[number >= 500]} for number in range(1000)]

    drawn = Counter(prepare(rows, limit=100).splits["train"]["label"].to_pylist())

    assert drawn["0"] == pytest.approx(50, abs=20)  # four standard deviations of a binomial


def test_a_limit_above_the_rows_there_are_drops_nothing(prepare: Prepare) -> None:
    rows = [{"text": f"text {number}", "label": str(number % 2)} for number in range(100)]

    assert prepare(rows, limit=80).ledger.dropped == {}


# -- keep


FILMS = [
    {"text": "a", "label": "1", "film": "Alien", "year": 1979},
    {"text": "", "label": "0", "film": "Brazil", "year": 1985},
    {"text": "c", "label": "0", "film": None, "year": 1979},
    {"text": "", "label": "1", "film": "Alien", "year": 1986},
    {"text": "e", "label": "0", "film": "Alien", "year": 1979},
]


def test_only_rows_with_the_values_to_keep_are_used_and_rows_keep_their_numbers(prepare: Prepare) -> None:
    found = prepare(FILMS, keep={"column": "film", "values": ["Alien"]}, split=ALL_TRAIN)

    assert found.splits["train"]["row"].to_pylist() == [0, 4]
    assert found.ledger.dropped == {"not kept": 2, "empty": 1}
    assert [entry.first for entry in found.ledger.entries if entry.reason == "empty"] == [(3,)]


def test_numbers_are_kept_by_their_text(prepare: Prepare) -> None:
    found = prepare(FILMS, keep={"column": "year", "values": ["1979"]}, split=ALL_TRAIN)

    assert found.splits["train"]["row"].to_pylist() == [0, 2, 4]


def test_rows_are_kept_by_a_column_that_the_task_renames(prepare: Prepare) -> None:
    found = prepare(
        FILMS,
        columns={"label": "year"},
        keep={"column": "year", "values": ["1979", "1986"]},
        split=ALL_TRAIN,
        checks={"on_empty": "allow"},
    )

    assert found.splits["train"]["row"].to_pylist() == [0, 2, 3, 4]


def test_a_column_to_keep_by_that_is_not_there_is_told(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"data\.keep\.column: there is no column 'movie'; there are text, label, film"):
        prepare(FILMS, keep={"column": "movie", "values": ["Alien"]})


def test_rows_cannot_be_kept_by_a_list(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"data\.keep\.column: 'tokens' holds list<.*kept by a name or a number"):
        prepare([{"tokens": ["a"], "tags": ["O"]}], "tokens", keep={"column": "tokens", "values": ["a"]})


def test_when_no_row_is_kept_the_account_says_so(prepare: Prepare) -> None:
    with pytest.raises(DataError, match=r"no row is left: 5 rows read = 0 kept \+ 5 dropped \(5 not kept\)"):
        prepare(FILMS, keep={"column": "film", "values": ["alien"]})

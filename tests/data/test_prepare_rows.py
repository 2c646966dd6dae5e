"""Preparing rows accounts for each of them: read = kept + merged + dropped, whatever the rows and policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.data.prepare import Rows
from lmkit.errors import DataError

Prepare = Callable[..., Rows]
Row = dict[str, Any]

ALL_TRAIN = {"train": 1.0, "validation": 0.0, "test": 0.0}

random_rows = st.lists(
    st.builds(
        lambda text, label, source: {"text": text, "label": label, "source": source},
        st.sampled_from([*"abcdefgh", "", " ", None]),
        st.sampled_from(["0", "1", "0", "1", "0", "1", "", None]),
        st.sampled_from(["web", "book", "web", None]),
    ),
    min_size=2,
    max_size=14,
)
policies = st.fixed_dictionaries(
    {
        "on_empty": st.sampled_from(["drop", "allow", "drop", "allow", "error"]),
        "on_conflict": st.sampled_from(["drop", "warn", "allow", "drop", "warn", "allow", "error"]),
        "on_duplicate": st.sampled_from(["merge", "warn", "allow", "merge", "warn", "allow", "error"]),
        "on_overlap": st.sampled_from(["drop", "warn", "allow", "drop", "warn", "allow", "error"]),
    }
)
"""Each policy, errors the least often, so that most accounts have more to tell."""
kept_values = st.none() | st.lists(st.sampled_from(["web", "book", "letter"]), max_size=2, unique=True)


class Account:
    """Where each row goes, by loops over rows in plain Python."""

    def __init__(self, rows: Sequence[Row], checks: dict[str, str], keep: Sequence[str] | None) -> None:
        self.dropped: Counter[str] = Counter()
        self.merged = 0
        self.refused: str | None = None
        content = [(number, row["text"] or "", row["label"] or "") for number, row in enumerate(rows)]
        if keep is not None:
            self.dropped["not kept"] = sum(row["source"] not in keep for row in rows)
            content = [item for item in content if rows[item[0]]["source"] in keep]
        empty = [item for item in content if not item[1].strip() or not item[2].strip()]
        content = self._gone(content, empty, "empty", checks["on_empty"])
        conflicting = [a for a in content if any(a[1] == b[1] and a[2] != b[2] for b in content)]
        content = self._gone(content, conflicting, "conflicting", checks["on_conflict"])
        doubled = [a for a in content if any(b[1:] == a[1:] and b[0] < a[0] for b in content)]
        content = self._gone(content, doubled, "duplicate", checks["on_duplicate"])
        self.left = [number for number, _, _ in content]
        self.labels = {label for _, _, label in content}

    def _gone(self, content: list[Any], found: list[Any], check: str, policy: str) -> list[Any]:
        if self.refused or not found:
            return content
        if policy == "error":
            self.refused = f"data.checks.on_{check.replace('ing', '')}"
        if policy == "drop":
            self.dropped[check] = len(found)
        if policy == "merge":
            self.merged = len(found)
        return [item for item in content if item not in found] if policy in ("drop", "merge") else content


@settings(max_examples=300, deadline=None)
@given(rows=random_rows, checks=policies, keep=kept_values)
def test_every_row_of_any_table_goes_where_a_plain_loop_says(
    prepare: Prepare, rows: list[Row], checks: dict[str, str], keep: list[str] | None
) -> None:
    account = Account(rows, checks, keep)
    chosen = {} if keep is None else {"keep": {"column": "source", "values": keep}}

    def found() -> Rows:
        return prepare(rows, checks=checks, split=ALL_TRAIN, **chosen)

    if account.refused:
        with pytest.raises(DataError, match=account.refused):
            found()
    elif len(account.labels) < 2:
        with pytest.raises(DataError, match="no row is left" if not account.left else "one label only"):
            found()
    else:
        result = found()
        assert result.splits["train"]["row"].to_pylist() == account.left
        assert result.ledger.dropped == dict(+account.dropped)
        assert result.ledger.merged == account.merged
        assert result.ledger.read == len(rows)
        assert result.ledger.kept == len(account.left)


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
        with pytest.raises(DataError, match="split is empty"):
            prepare(rows, "translation", split=split, checks=checks, limit=limit)
        return

    numbers = [number for table in found.splits.values() for number in table["row"].to_pylist()]
    ledger = found.ledger
    assert len(set(numbers)) == len(numbers) == ledger.kept
    assert ledger.read == len(rows) == ledger.kept + ledger.merged + sum(ledger.dropped.values())
    assert set(ledger.dropped) <= {"in no split", "beyond the limit"}
    assert ledger.dropped.get("in no split", 0) == 0 or sum(shares) < 1
    assert found.splits["train"].num_rows <= (limit or len(rows))
    assert ledger.splits == {name: {"rows": table.num_rows} for name, table in found.splits.items()}
    for table in found.splits.values():
        for row in table.to_pylist():
            assert {"source": row["source"], "target": row["target"]} == rows[row["row"]]


@settings(max_examples=150, deadline=None)
@given(train=random_rows, validation=random_rows, test=random_rows, checks=policies)
def test_every_row_of_given_splits_goes_where_a_plain_loop_says(
    prepare: Prepare, train: list[Row], validation: list[Row], test: list[Row], checks: dict[str, str]
) -> None:
    given_rows = {"train": train, "validation": validation, "test": test}
    accounts = {split: Account(rows, checks, None) for split, rows in given_rows.items()}
    elsewhere = {given_rows[split][n]["text"] or "" for split in ("validation", "test") for n in accounts[split].left}
    leaked = [n for n in accounts["train"].left if (train[n]["text"] or "") in elsewhere]
    left = {split: account.left for split, account in accounts.items()}
    if checks["on_overlap"] == "drop":
        left["train"] = [n for n in left["train"] if n not in leaked]
    refused = any(account.refused for account in accounts.values()) or (leaked and checks["on_overlap"] == "error")
    labels = {train[n]["label"] or "" for n in left["train"]}
    strange = any(accounts[split].labels - labels for split in ("validation", "test"))

    if refused or not all(left.values()) or len(labels) < 2 or strange:
        with pytest.raises(DataError):
            prepare(given_rows, checks=checks)
        return
    found = prepare(given_rows, checks=checks)

    assert {split: table["row"].to_pylist() for split, table in found.splits.items()} == left
    assert found.ledger.read == len(train) + len(validation) + len(test)
    assert found.ledger.kept == sum(map(len, left.values()))
    dropped = sum((account.dropped for account in accounts.values()), Counter[str]())
    if checks["on_overlap"] == "drop":
        dropped["overlapping"] = len(leaked)
    assert found.ledger.dropped == dict(+dropped)
    assert found.ledger.merged == sum(account.merged for account in accounts.values())


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
    assert found.ledger.findings[0].first == (3,)


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
    with pytest.raises(DataError, match=r"no row is left of the 5 read: 5 rows read, 0 kept \(5 not kept\)"):
        prepare(FILMS, keep={"column": "film", "values": ["alien"]})

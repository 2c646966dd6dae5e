"""The ledger accounts for every row, and says so in a few lines."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lmkit.data.ledger import Finding, Ledger

counts = st.integers(0, 50)


@given(
    drops=st.lists(st.tuples(st.sampled_from(["empty", "conflicting", "in no split"]), counts)), merges=st.lists(counts)
)
def test_read_is_kept_and_merged_and_dropped(drops: list[tuple[str, int]], merges: list[int]) -> None:
    ledger = Ledger(read=5000)

    for reason, count in drops:
        ledger = ledger.drop(reason, count)
    for count in merges:
        ledger = ledger.merge(count)

    assert ledger.kept == 5000 - sum(merges) - sum(count for _, count in drops)
    for reason, count in ledger.dropped.items():
        assert count == sum(n for other, n in drops if other == reason)
        assert count > 0


def test_each_entry_makes_a_new_ledger() -> None:
    first = Ledger(read=10)

    first.drop("empty", 2).merge(1).found(Finding("empty", "drop", 2))

    assert first == Ledger(read=10)


def test_a_person_reads_where_the_rows_went_what_is_in_each_split_and_what_was_noticed() -> None:
    ledger = Ledger(
        read=12_808,
        merged=56,
        dropped={"empty": 2, "conflicting": 1_000},
        findings=(
            Finding("empty", "drop", 2, (3, 7)),
            Finding("duplicate", "merge", 56, (1,)),
            Finding("in both train and another split", "warn", 3, (5, 6, 9)),
            Finding("cut at the length limit", "warn", 1_200, (0,), "train", 9_000),
            Finding("cut at the length limit", "allow", 4, (0,), "test", 10),
        ),
        splits={"train": {"rows": 9_400}, "test": {"rows": 2_350}},
    )

    assert ledger.lines() == [
        "12,808 rows read, 11,750 kept (2 empty, 1,000 conflicting, 56 merged as duplicates)",
        "train 9,400, test 2,350",
        "noticed: 3 in both train and another split, 1,200 cut at the length limit in train",
    ]


def test_a_ledger_without_anything_to_tell_has_two_lines() -> None:
    assert Ledger(read=3, splits={"train": {"rows": 3}}).lines() == ["3 rows read, 3 kept", "train 3"]


def test_the_ledger_is_written_as_json_with_its_format() -> None:
    ledger = Ledger(read=3).drop("empty", 1).found(Finding("empty", "drop", 1, (2,)))

    assert json.loads(json.dumps(ledger.as_json())) == {
        "format": 1,
        "read": 3,
        "kept": 2,
        "merged": 0,
        "dropped": {"empty": 1},
        "findings": [{"check": "empty", "policy": "drop", "rows": 1, "first": [2], "split": None, "tokens": None}],
        "splits": {},
    }

"""The ledger accounts for every row, and says so in a few lines."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lmkit.data.ledger import Entry, Ledger, SplitAccount

entries = st.builds(
    Entry,
    reason=st.sampled_from(["empty", "conflicting", "in no split"]),
    fate=st.sampled_from(["kept", "merged", "dropped"]),
    policy=st.sampled_from(["warn", "drop", None]),
    split=st.sampled_from(["train", "test", None]),
    label=st.sampled_from(["0", "1", None]),
    rows=st.integers(1, 50),
    first=st.just((0,)),
)


def entry(reason: str, fate: Any, policy: str | None, rows: int, split: str | None = None, **more: Any) -> Entry:
    return Entry(reason, fate, policy, split, more.get("label"), rows, (3, 7), more.get("tokens"))


@given(found=st.lists(entries, max_size=12))
def test_read_is_kept_and_merged_and_dropped(found: list[Entry]) -> None:
    ledger = Ledger(read=5000).with_entries(found)

    assert ledger.kept == 5000 - sum(each.rows for each in found if each.fate != "kept")
    assert ledger.merged == sum(each.rows for each in found if each.fate == "merged")
    for reason, count in ledger.dropped.items():
        assert count == sum(each.rows for each in found if (each.reason, each.fate) == (reason, "dropped"))
    assert sum(ledger.found(reason) for reason in {each.reason for each in found}) == sum(each.rows for each in found)


def test_a_person_reads_where_the_rows_went_what_is_in_each_split_and_what_was_noticed() -> None:
    ledger = Ledger(
        read=12_808,
        entries=(
            entry("empty", "dropped", "drop", 2),
            entry("conflicting", "dropped", "drop", 600, label="0"),
            entry("conflicting", "dropped", "drop", 400, label="1"),
            entry("duplicate", "merged", "merge", 56),
            entry("in another split too", "kept", "warn", 3, "train"),
            entry("too long", "kept", "warn", 1_200, "train", tokens=9_000),
            entry("too long", "kept", "warn", 2, "test", tokens=10),
            entry("too long", "kept", "allow", 4, "validation", tokens=10),
        ),
        splits={"train": SplitAccount(9_400), "test": SplitAccount(2_350)},
    )

    assert ledger.lines() == [
        "12,808 rows read = 11,750 kept + 56 merged + 1,002 dropped (2 empty, 1,000 conflicting)",
        "train 9,400, test 2,350",
        "noticed: 3 in another split too (train 3); 1,202 too long (train 1,200, test 2; 9,010 tokens cut off)",
    ]


def test_a_ledger_without_anything_to_tell_has_two_lines() -> None:
    assert Ledger(read=3, splits={"train": SplitAccount(3)}).lines() == ["3 rows read = 3 kept", "train 3"]


def test_the_account_of_one_given_split_is_its_own() -> None:
    both = [entry("empty", "dropped", "drop", 2, "train"), entry("empty", "dropped", "drop", 1, "test")]

    mine = Ledger(12, {"train": 8, "test": 4}, tuple(both)).of_split("test")

    assert mine.account() == "4 rows read = 3 kept + 1 dropped (1 empty)"


def test_the_ledger_is_written_as_json_with_its_format() -> None:
    ledger = Ledger(
        3,
        {"train": 3},
        (entry("empty", "dropped", "drop", 1, "train", label="1"),),
        {"train": SplitAccount(2, {"0": 2})},
    )

    assert json.loads(json.dumps(ledger.as_json())) == {
        "format": 1,
        "read": 3,
        "kept": 2,
        "merged": 0,
        "dropped": {"empty": 1},
        "given": {"train": 3},
        "entries": [
            {
                "reason": "empty",
                "fate": "dropped",
                "policy": "drop",
                "split": "train",
                "label": "1",
                "rows": 1,
                "first": [3, 7],
                "tokens": None,
            }
        ],
        "splits": {"train": {"rows": 2, "labels": {"0": 2}}},
        "notes": [],
    }

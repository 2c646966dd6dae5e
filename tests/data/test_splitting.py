"""A split is a function of the rows' content and a seed: the same everywhere, in any order, without leaks."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import pairwise
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmkit.data.splitting import group_notes, sample_rows, split_rows
from lmkit.errors import DataError
from lmkit.kinds.data import SplitConfig

SHARES = st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.7, 0.2, 0.1), (0.5, 0.25, 0.25), (0.3, 0.3, 0.3)])


def config(shares: tuple[float, ...] = (0.8, 0.1, 0.1), **settings: Any) -> SplitConfig:
    return SplitConfig.model_validate(dict(zip(("train", "validation", "test"), shares, strict=True)) | settings)


def assignment(rows: list[dict[str, Any]], split: SplitConfig) -> dict[str, str]:
    """The split of each row, by its text."""
    splits = split_rows(pa.Table.from_pylist(rows), split, ["text"])
    return {text: name for name, table in splits.items() for text in table["text"].to_pylist()}


def films(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Reviews of films, some films with many, each film mostly of one label."""
    chance = Random(seed)
    rows = []
    for number in range(count):
        film = int(chance.expovariate(1 / 12))
        label = ("good", "bad")[chance.random() < (0.8 if film % 2 else 0.2)]
        rows.append({"text": f"review {number}", "film": f"film {film}", "label": label})
    return rows


# -- the same on every machine


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, "TVETTEVTTTTEVETVTTTEVTVE", id="plain"),
        pytest.param({"seed": 1}, "TTEVVTTTTTVEEETEEVTTTVTV", id="seed 1"),
        pytest.param({"stratify": "label"}, "TVVTTVVTTTTEEETETTVEVTTE", id="stratified"),
        pytest.param({"group": "film"}, "EEEEEETTTVVVTTTVVVTTTTTT", id="grouped"),
        pytest.param({"group": "film", "seed": 1}, "EEETTTVVVTTTTTTTTTVVVEEE", id="grouped, seed 1"),
        pytest.param({"group": "film", "stratify": "label"}, "EEEEEETTTVVVTTTVVVTTTTTT", id="grouped and stratified"),
    ],
)
def test_a_small_table_is_divided_as_on_every_other_machine(settings: dict[str, Any], expected: str) -> None:
    """T, V and E: the split (train, validation, evaluation) of each of 24 rows, three of each film."""
    rows = [{"text": f"text {n}", "label": "ab"[n % 3 == 0], "film": f"film {n // 3}"} for n in range(24)]

    found = assignment(rows, config((0.5, 0.25, 0.25), **settings))

    letters = {"train": "T", "validation": "V", "test": "E"}
    assert "".join(letters[found[row["text"]]] for row in rows) == expected


def test_rows_are_cut_in_the_order_of_their_salted_hashes() -> None:
    texts = [f"text {number}" for number in range(50)] + ["naïve\u2028", "\U0001fae8"]

    def place(text: str) -> bytes:
        digest = hashlib.blake2b(ascii((text,)).encode(), digest_size=8).digest()
        return hashlib.blake2b(digest, digest_size=16, salt=(7).to_bytes(8, "little")).digest()

    found = assignment([{"text": text} for text in texts], config((0.5, 0.25, 0.25), seed=7))

    names = ["train"] * 26 + ["validation"] * 13 + ["test"] * 13
    assert found == dict(zip(sorted(texts, key=place), names, strict=True))


# -- content and seed alone


unique_texts = st.lists(st.text(max_size=4), min_size=12, max_size=40, unique=True)


@settings(max_examples=60, deadline=None)
@given(texts=unique_texts, order=st.randoms(use_true_random=False), shares=SHARES, seed=st.integers(0, 2**63 - 1))
def test_the_order_of_rows_changes_nothing(
    texts: list[str], order: Random, shares: tuple[float, ...], seed: int
) -> None:
    rows = [{"text": text, "label": "ab"[len(text) % 2]} for text in texts]
    shuffled = order.sample(rows, len(rows))

    for stratify in (None, "label"):
        try:
            expected = assignment(rows, config(shares, seed=seed, stratify=stratify))
        except DataError:
            with pytest.raises(DataError):
                assignment(shuffled, config(shares, seed=seed, stratify=stratify))
            continue
        assert assignment(shuffled, config(shares, seed=seed, stratify=stratify)) == expected


NEARLY_EQUAL_NEEDS = list(
    zip([10, 7, 10, 10, 3, 11, 11, 6, 0, 5, 10, 9], [3, 5, 0, 2, 3, 1, 3, 0, 0, 5, 3, 1], strict=True)
)
"""(film, label) of rows for which a plain sum of floats, taken in another order, places a film elsewhere."""


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 4)), min_size=20, max_size=60),
    order=st.randoms(use_true_random=False),
    shares=SHARES,
    seed=st.integers(0, 5),
)
@example(members=NEARLY_EQUAL_NEEDS, order=Random(0), shares=(0.6, 0.2, 0.2), seed=0)
def test_the_order_of_rows_changes_nothing_for_groups(
    members: list[tuple[int, int]], order: Random, shares: tuple[float, ...], seed: int
) -> None:
    rows = [{"text": str(n), "film": film, "label": label} for n, (film, label) in enumerate(members)]
    shuffled = order.sample(rows, len(rows))

    for stratify in (None, "label"):
        split = config(shares, seed=seed, group="film", stratify=stratify)
        try:
            expected = assignment(rows, split)
        except DataError:
            with pytest.raises(DataError):
                assignment(shuffled, split)
            continue
        assert assignment(shuffled, split) == expected


def test_another_seed_divides_anew() -> None:
    rows = [{"text": f"text {number}"} for number in range(1000)]

    first, second = (assignment(rows, config((0.5, 0.25, 0.25), seed=seed)) for seed in (0, 1))

    together = sum(first[text] == second[text] for text in first)
    assert together == pytest.approx(1000 * (0.5**2 + 2 * 0.25**2), abs=70)  # independent, within four deviations


def test_ten_more_rows_move_at_most_ten_others_over_each_border() -> None:
    rows = [{"text": f"text {number}"} for number in range(1000)]
    more = [{"text": f"new {number}"} for number in range(10)]

    before, after = assignment(rows, config()), assignment([*more, *rows], config())

    assert sum(before[text] != after[text] for text in before) <= 20


# -- shares


@settings(max_examples=60, deadline=None)
@given(count=st.integers(20, 300), shares=SHARES)
def test_each_split_has_its_share_within_one_row(count: int, shares: tuple[float, ...]) -> None:
    found = Counter(assignment([{"text": str(number)} for number in range(count)], config(shares)).values())

    for name, share in zip(("train", "validation", "test"), shares, strict=True):
        assert abs(found[name] - share * count) <= 1


def test_shares_that_are_broken_numbers_lose_no_row() -> None:
    # As floats, 0.7 + 0.2 + 0.1 is less than 1 and 0.6 + 0.3 + 0.1 less than 0.6 + 0.4.
    for shares in [(0.7, 0.2, 0.1), (0.6, 0.3, 0.1), (0.1, 0.2, 0.7)]:
        for count in (30, 75, 1000):
            assert len(assignment([{"text": str(number)} for number in range(count)], config(shares))) == count


def test_a_split_with_a_share_of_nought_is_absent() -> None:
    found = assignment([{"text": str(number)} for number in range(20)], config((0.9, 0.0, 0.1)))

    assert Counter(found.values()) == {"train": 18, "test": 2}


def test_equal_rows_stay_together() -> None:
    rows = [{"text": f"text {number % 41}", "id": number} for number in range(287)]

    splits = split_rows(pa.Table.from_pylist(rows), config((0.4, 0.35, 0.25)), ["text"])

    texts = [set(table["text"].to_pylist()) for table in splits.values()]
    assert sum(table.num_rows for table in splits.values()) == 287
    assert sum(map(len, texts)) == 41


def test_rows_keep_their_order_in_each_split() -> None:
    table = pa.table({"text": [f"text {number}" for number in range(100)], "number": range(100)})

    for part in split_rows(table, config(), ["text"]).values():
        assert all(first < second for first, second in pairwise(part["number"].to_pylist()))


# -- strata


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), max_size=12) | st.lists(st.integers(10, 60), max_size=12),
    shares=SHARES,
    seed=st.integers(0, 5),
)
def test_strata_are_divided_within_a_row_and_the_splits_have_their_whole_shares(
    sizes: list[int], shares: tuple[float, ...], seed: int
) -> None:
    sizes = [*sizes, 40]
    rows = [{"text": f"{s} {n}", "label": f"stratum {s}"} for s, size in enumerate(sizes) for n in range(size)]

    splits = split_rows(pa.Table.from_pylist(rows), config(shares, stratify="label", seed=seed), ["text"])

    counts = {name: Counter(splits[name]["label"].to_pylist()) for name in splits}
    for name, share in zip(("train", "validation", "test"), shares, strict=True):
        assert abs(splits[name].num_rows - share * len(rows)) < 1 + 1e-9
        if min(sizes) * min(shares) >= 1:  # else small strata are given a row in each split
            for stratum, size in enumerate(sizes):
                assert abs(counts[name][f"stratum {stratum}"] - share * size) < 2
    if sum(shares) > 1 - 1e-9:
        assert sum(table.num_rows for table in splits.values()) == len(rows)


@settings(max_examples=80, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3), large=st.integers(60, 200), seed=st.integers(0, 5))
def test_each_split_has_a_row_of_a_class_that_has_one_for_each(sizes: list[int], large: int, seed: int) -> None:
    sizes = [*sizes, large]
    rows = [{"text": f"{s} {n}", "label": f"stratum {s}"} for s, size in enumerate(sizes) for n in range(size)]

    splits = split_rows(pa.Table.from_pylist(rows), config(stratify="label", seed=seed), ["text"])

    for table in splits.values():
        assert {f"stratum {s}" for s, size in enumerate(sizes) if size >= 3} <= set(table["label"].to_pylist())


@pytest.mark.parametrize(
    ("classes", "rows", "expected"), [(40, 15, (480, 60, 60)), (40, 5, (160, 20, 20)), (7, 3, (17, 2, 2))]
)
def test_many_small_classes_are_divided_in_whole_shares(
    classes: int, rows: int, expected: tuple[int, int, int]
) -> None:
    texts = [{"text": f"{c} {n}", "label": f"class {c}"} for c in range(classes) for n in range(rows)]

    splits = split_rows(pa.Table.from_pylist(texts), config(stratify="label"), ["text"])

    assert tuple(table.num_rows for table in splits.values()) == expected


def test_a_stratum_for_each_row_divides_as_if_there_were_none() -> None:
    rows = [{"text": f"text {number}", "label": number} for number in range(3000)]

    splits = split_rows(pa.Table.from_pylist(rows), config(stratify="label"), ["text"])

    assert [table.num_rows for table in splits.values()] == [2400, 300, 300]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=8), order=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_for_many_small_strata(sizes: list[int], order: Random) -> None:
    rows = [{"text": f"{s} {n}", "label": f"stratum {s}"} for s, size in enumerate([*sizes, 30]) for n in range(size)]
    mixed = order.sample(rows, len(rows))

    assert assignment(mixed, config(stratify="label")) == assignment(rows, config(stratify="label"))


# -- groups


@pytest.mark.parametrize("stratify", [None, "label"])
@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.2, 0.2)])
def test_groups_are_never_divided_and_shares_come_close(stratify: str | None, shares: tuple[float, ...]) -> None:
    rows = films(2000)

    splits = split_rows(pa.Table.from_pylist(rows), config(shares, group="film", stratify=stratify), ["text"])

    owners = defaultdict(set)
    for name, table in splits.items():
        for film in table["film"].to_pylist():
            owners[film].add(name)
    assert all(len(names) == 1 for names in owners.values())
    largest = max(Counter(row["film"] for row in rows).values())
    for name, share in zip(("train", "validation", "test"), shares, strict=True):
        assert abs(splits[name].num_rows - share * 2000) <= largest


def test_stratified_groups_are_less_than_half_as_far_from_the_proportions_of_all_rows() -> None:
    rows = films(2000)
    table = pa.Table.from_pylist(rows)
    overall = sum(row["label"] == "good" for row in rows) / len(rows)

    def distance(**settings: Any) -> float:
        """Between the share of good reviews in each split and in all, over ten divisions."""
        divided = [
            split_rows(table, config(group="film", seed=seed, **settings), ["text"]).values() for seed in range(10)
        ]
        shares = [part["label"].to_pylist().count("good") / part.num_rows for parts in divided for part in parts]
        return sum(abs(share - overall) for share in shares) / len(shares)

    assert distance(stratify="label") < distance() / 2


def test_groups_may_be_numbers_and_rows_without_one_are_placed_one_by_one() -> None:
    rows = [{"text": str(number), "film": None if number % 10 == 0 else number % 10} for number in range(100)]
    table = pa.Table.from_pylist(rows)

    splits = split_rows(table, config((0.6, 0.2, 0.2), group="film"), ["text"])

    groups = [set(part["film"].to_pylist()) - {None} for part in splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 9
    assert list(group_notes(table, config((0.6, 0.2, 0.2), group="film"))) == [
        "10 rows without 'film' (data.split.group), each placed by itself"
    ]
    assert all(abs(part.num_rows - share) <= 2 for part, share in zip(splits.values(), (60, 20, 20), strict=True))


@pytest.mark.parametrize("missing", [None, "", " ", float("nan")])
def test_equal_rows_without_a_group_stay_together(missing: Any) -> None:
    rows = [{"text": f"text {number % 7}", "film": missing} for number in range(70)]

    splits = split_rows(pa.Table.from_pylist(rows), config((0.4, 0.3, 0.3), group="film"), ["text"])

    texts = [set(table["text"].to_pylist()) for table in splits.values()]
    assert sum(map(len, texts)) == 7 == len(set().union(*texts))


@pytest.mark.parametrize("seed", range(6))
def test_a_group_that_is_larger_than_a_split_is_noted_and_not_put_there(seed: int) -> None:
    rows = [{"text": str(n), "film": "long" if n < 30 else f"film {n // 2}"} for n in range(100)]
    table, split = pa.Table.from_pylist(rows), config(group="film", seed=seed)

    splits = split_rows(table, split, ["text"])

    assert [table.num_rows for table in splits.values()] == [80, 10, 10]
    assert list(group_notes(table, split)) == [
        "groups by 'film' larger than validation's share of 10 rows: 'long' with 30 rows"
    ]


def test_without_large_groups_and_missing_ones_there_is_no_note() -> None:
    table = pa.Table.from_pylist([{"text": str(n), "film": n // 2} for n in range(100)])

    assert list(group_notes(table, config(group="film"))) == list(group_notes(table, config())) == []


@pytest.mark.parametrize(
    ("groups", "expected"),
    [([100] * 5, [300, 100, 100]), ([60, 30, 30], [60, 30, 30]), ([90, 1], [90, 1])],
)
@pytest.mark.parametrize("seed", range(3))
def test_few_large_groups_leave_no_split_empty(groups: list[int], expected: list[int], seed: int) -> None:
    films = [film for film, rows in enumerate(groups) for _ in range(rows)]
    table = pa.Table.from_pylist([{"text": str(n), "film": film} for n, film in enumerate(films)])
    shares = (0.8, 0.1, 0.1) if len(expected) == 3 else (0.8, 0.0, 0.2)

    splits = split_rows(table, config(shares, group="film", seed=seed), ["text"])

    assert [split.num_rows for split in splits.values()] == expected


# -- what cannot be divided


def test_a_split_that_would_be_empty_is_told() -> None:
    rows = [{"text": str(number), "film": "one"} for number in range(4)]

    with pytest.raises(DataError, match=r"the test split is empty: a share of 0\.1 of 4 rows came to nothing"):
        assignment(rows, config((0.9, 0.0, 0.1)))
    with pytest.raises(
        DataError, match=r"a share of 0\.1 of 4 rows in 1 group by 'film' came to nothing; change data\.split"
    ):
        assignment(rows, config(group="film"))


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["one"] * 50, "all 50 rows are equal in text, and equal rows stay in one split: validation would be empty"),
        (["one"] * 49 + ["two"], "0.1 of 50 rows, 2 of them different (equal rows stay in one split), came to nothing"),
    ],
)
def test_equal_rows_are_named_where_they_leave_a_split_empty(texts: list[str], told: str) -> None:
    with pytest.raises(DataError) as raised:
        split_rows(pa.table({"text": texts}), config(), ["text"])

    assert told in str(raised.value)


@pytest.mark.parametrize("key", ["group", "stratify"])
def test_a_column_to_divide_by_that_is_not_there_is_told(key: str) -> None:
    with pytest.raises(DataError, match=rf"data\.split\.{key}: there is no column 'movie'; there are text, film"):
        assignment([{"text": "a", "film": "b"}], config(**{key: "movie"}))


@pytest.mark.parametrize("key", ["group", "stratify"])
def test_a_column_that_row_numbers_hide_is_told(key: str) -> None:
    with pytest.raises(DataError, match=rf"data\.split\.{key}: lmkit's own row numbers hide a column called 'row'"):
        assignment([{"text": "a", "row": 7}], config(**{key: "row"}))


def test_shares_are_checked_before_any_row_is_read() -> None:
    with pytest.raises(ValidationError, match=r"the shares sum to 1\.1; at most 1 is there to divide"):
        config((0.8, 0.2, 0.1))
    with pytest.raises(ValidationError, match="'train' is 0: nothing would be learnt from"):
        config((0.0, 0.5, 0.5))


# -- drawing some rows


def test_a_sample_is_drawn_by_content_and_grows_with_its_size() -> None:
    table = pa.table({"text": [f"text {number}" for number in range(300)], "number": range(300)})
    backwards = table.take(pa.array(range(299, -1, -1)))

    small, large = (sample_rows(table, count, 0, ["text"])["number"].to_pylist() for count in (20, 100))

    assert set(small) < set(large)
    assert large == sorted(large)
    assert sample_rows(backwards, 100, 0, ["text"])["number"].to_pylist() == large[::-1]
    assert sample_rows(table, 100, 1, ["text"])["number"].to_pylist() != large

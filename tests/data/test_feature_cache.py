"""The cache of features: found again for equal rows and settings alone, whole or made anew, made by one process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.data.cache import cache_folder, clear_cache
from lmkit.data.cached_features import cache_key, cached_features
from lmkit.errors import ResourceError
from lmkit.kinds.task import Features, Ragged

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

COLUMNS = ["text", "tags"]
ROWS = [
    {"row": 0, "text": "one", "tags": ["O", "B"], "film": "x"},
    {"row": 1, "text": "", "tags": [], "film": "x"},
    {"row": 2, "text": "drei\u2028", "tags": ["O"], "film": "y"},
    {"row": 3, "text": "vier", "tags": ["O", "O"], "film": "z"},
]
TABLE = pa.Table.from_pylist(ROWS)


def some_features() -> Features:
    return Features(
        {
            "input_ids": Ragged.from_lists([[2, 7, 3], [2, 3], [2, 8, 9, 3]]),
            "labels": np.array([1, 0, 1]),
            "word": Ragged.from_lists([[], [], []]),
        },
        weight=np.array([1, 2, 3]),
        cut=np.array([0, 0, 5]),
    )


def assert_equal(found: Features, made: Features) -> None:
    assert set(found.columns) == set(made.columns)
    for name, column in made.columns.items():
        other = found.columns[name]
        pairs = [(other, column)] if isinstance(column, np.ndarray) else []
        if isinstance(column, Ragged):
            assert isinstance(other, Ragged)
            pairs = [(other.values, column.values), (other.offsets, column.offsets)]
        for mine, theirs in [*pairs, (found.weight, made.weight), (found.cut, made.cut)]:
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


def flipped(content: bytes, place: float) -> bytes:
    """The content with a bit of one byte flipped: a token id, an offset or a length becomes absurd, if it is that."""
    at = int(len(content) * place)
    return content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :]


class Counted:
    """Makes features, and counts how often."""

    def __init__(self, make: Callable[[], Features] = some_features) -> None:
        self.make = make
        self.times = 0

    def __call__(self) -> Features:
        self.times += 1
        return self.make()


def stored(key: str) -> Path:
    return cache_folder() / "features" / f"{key}.arrow"


# -- the key


def test_equal_rows_have_one_key_however_the_table_lies_in_memory() -> None:
    key = cache_key(TABLE, COLUMNS, "1.0")
    longer = pa.concat_tables([TABLE.slice(2, 1), TABLE, TABLE.slice(0, 1)])

    assert cache_key(pa.Table.from_pylist(ROWS), COLUMNS, "1.0") == key
    assert cache_key(longer.slice(1, 4), COLUMNS, "1.0") == key
    assert cache_key(pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]), COLUMNS, "1.0") == key
    assert cache_key(longer.filter(pa.array([False, True, True, True, True, False])), COLUMNS, "1.0") == key
    assert cache_key(TABLE.take(pa.array([0, 1, 2, 3])), COLUMNS, "1.0") == key


def test_row_numbers_and_columns_that_the_task_does_not_read_change_no_key() -> None:
    key = cache_key(TABLE, COLUMNS)

    renumbered = TABLE.set_column(0, "row", pa.array([7, 8, 9, 10]))
    assert cache_key(renumbered, COLUMNS) == key
    assert cache_key(TABLE.drop_columns(["film"]), COLUMNS) == key


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(TABLE.slice(0, 3), id="a row less"),
        pytest.param(TABLE.take(pa.array([1, 0, 2, 3])), id="another order"),
        pytest.param(pa.Table.from_pylist([{**ROWS[0], "text": "onE"}, *ROWS[1:]]), id="another letter"),
        pytest.param(
            pa.Table.from_pylist([{**ROWS[0], "text": "on"}, {**ROWS[1], "text": "e"}, *ROWS[2:]]), id="moved"
        ),
        pytest.param(
            pa.Table.from_pylist([{**ROWS[0], "tags": ["O"]}, {**ROWS[1], "tags": ["B"]}, *ROWS[2:]]), id="tags"
        ),
        pytest.param(pa.Table.from_pylist([{**ROWS[0], "tags": ["OB"]}, *ROWS[1:]]), id="joined tags"),
    ],
)
def test_other_rows_have_another_key(other: pa.Table) -> None:
    assert cache_key(other, COLUMNS) != cache_key(TABLE, COLUMNS)


def test_settings_and_versions_change_the_key() -> None:
    keys = {
        cache_key(TABLE, COLUMNS),
        cache_key(TABLE, COLUMNS, "1.0"),
        cache_key(TABLE, COLUMNS, "1.1"),
        cache_key(TABLE, COLUMNS, {"max_length": 128}),
        cache_key(TABLE, COLUMNS, {"max_length": 64}),
        cache_key(TABLE, COLUMNS, ("a", "b")),
        cache_key(TABLE, COLUMNS, ("b", "a")),
        cache_key(TABLE, ["text"], "1.0"),
    }

    assert len(keys) == 8


def test_the_order_of_settings_by_name_changes_no_key() -> None:
    assert cache_key(TABLE, COLUMNS, {"a": 1, "b": 2}) == cache_key(TABLE, COLUMNS, {"b": 2, "a": 1})


# -- what is stored


lists = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(ids=lists, numbers=st.data())
def test_features_read_from_the_cache_equal_those_that_were_made(ids: list[list[int]], numbers: st.DataObject) -> None:
    count = len(ids)
    integers = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count)
    made = Features(
        {"input_ids": Ragged.from_lists(ids), "labels": np.array(numbers.draw(integers), np.int64)},
        np.array(numbers.draw(integers), np.int64),
        np.arange(count),
    )
    key = f"features-{len(list((cache_folder() / 'features').glob('*.arrow')))}"

    first, hit = cached_features(key, lambda: made)
    again, hit_again = cached_features(key, lambda: pytest.fail("made twice"))

    assert (hit, hit_again) == (False, True)
    assert_equal(first, made)
    assert_equal(again, made)


def test_features_in_the_cache_are_memory_mapped() -> None:
    cached_features("key", some_features)

    found, _ = cached_features("key", some_features)

    ids = found.columns["input_ids"]
    assert isinstance(ids, Ragged)
    for array in (ids.values, ids.offsets, found.weight, found.cut, found.columns["labels"]):
        assert isinstance(array, np.ndarray)
        assert not array.flags.owndata
        assert not array.flags.writeable
    if sys.platform == "linux":
        assert str(stored("key")) in Path("/proc/self/maps").read_text()


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "elsewhere"))

    cached_features("key", some_features)

    assert stored("key") == tmp_path / "elsewhere" / "features" / "key.arrow"
    assert stored("key").is_file()
    monkeypatch.delenv("LMKIT_CACHE")
    assert cache_folder().name == "lmkit"


def test_a_cleared_cache_is_made_again() -> None:
    make = Counted()
    cached_features("key", make)

    clear_cache()
    _, hit = cached_features("key", make)

    assert (hit, make.times) == (False, 2)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="half"),
        pytest.param(lambda content: content[:-1], id="a byte short"),
        pytest.param(lambda content: b"\0" * len(content), id="noughts"),
        pytest.param(lambda content: content[:-200] + b"\0" * 150 + content[-50:], id="a damaged footer"),
        pytest.param(lambda content: content.replace(b"weight", b"w3ight"), id="a column renamed"),
        pytest.param(lambda content: flipped(content, 1 / 3), id="a flipped bit"),
        pytest.param(lambda content: flipped(content, 1 / 2), id="another flipped bit"),
        pytest.param(lambda content: b"this is no Arrow file" * 100, id="another format"),
    ],
)
def test_a_damaged_file_is_made_anew(damage: Callable[[bytes], bytes]) -> None:
    make = Counted()
    cached_features("key", make)
    whole = stored("key").read_bytes()
    stored("key").write_bytes(damage(whole))

    found, hit = cached_features("key", make)

    assert (hit, make.times) == (False, 2)
    assert_equal(found, some_features())
    assert stored("key").read_bytes() == whole
    assert cached_features("key", make)[1]


def test_no_byte_of_a_file_makes_reading_it_crash() -> None:
    cached_features("key", some_features)
    whole = stored("key").read_bytes()

    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        stored("key").write_bytes(bytes(damaged))
        cached_features("key", some_features)


def test_what_could_not_be_made_leaves_nothing_behind() -> None:
    def fail() -> Features:
        raise ValueError("no tokens today")

    with pytest.raises(ValueError, match="no tokens today"):
        cached_features("key", fail)

    assert list((cache_folder() / "features").glob("*.arrow")) == []
    assert list((cache_folder() / "features").glob(".*")) == []
    assert cached_features("key", some_features)[1] is False


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_cache_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "locked"))

    with pytest.raises(ResourceError, match="may not be written"):
        cached_features("key", some_features)


def test_processes_that_need_the_same_features_make_them_once(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import pathlib, sys, time
        import numpy as np
        from lmkit.data.cached_features import cached_features
        from lmkit.kinds.task import Features, Ragged

        folder, number = pathlib.Path(sys.argv[1]), sys.argv[2]

        def make():
            (folder / f"made by {number}").touch()
            time.sleep(0.4)
            return Features({"input_ids": Ragged.from_lists([[1, 2]])}, np.ones(1, np.int64), np.zeros(1, np.int64))

        (folder / f"ready {number}").touch()
        while len(list(folder.glob("ready *"))) < 2:
            time.sleep(0.01)
        features, hit = cached_features("key", make)
        print(hit, features.columns["input_ids"].values.tolist())
        """
    )

    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    told = sorted(worker.communicate(timeout=60)[0].strip() for worker in workers)

    assert [worker.returncode for worker in workers] == [0, 0]
    assert told == ["False [1, 2]", "True [1, 2]"]
    assert len(list(tmp_path.glob("made by *"))) == 1

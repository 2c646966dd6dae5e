"""A table encoded in pieces has the features of a table encoded at once."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.data import pieces
from lmkit.data.pieces import encode_in_pieces
from lmkit.errors import DataError
from lmkit.kinds import rows
from lmkit.kinds.notes import misfits_of
from lmkit.kinds.rows import read_csv, read_jsonl
from lmkit.kinds.task import Features, Ragged


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=12), st.integers(1, 5))
def test_features_encoded_in_pieces_equal_those_encoded_at_once(tmp_path_factory, lists, size):
    table = pa.table({"ids": pa.array(lists, pa.list_(pa.int64()))})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", size)
        found = encode_in_pieces(encode, table, tmp_path_factory.getbasetemp())

    assert same(found, encode(table))


def test_a_column_whose_later_pieces_need_wider_numbers_loses_none(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 2)
    numbers = [1, 2, 3, 2**40]

    def narrow(table):
        values = np.array(table["n"].to_pylist())
        return values.astype(np.int64 if values.max() > 2**31 else np.int32)

    found = encode_in_pieces(
        lambda table: Features({"n": narrow(table)}, np.ones(len(table), np.int64), np.zeros(len(table), np.int64)),
        pa.table({"n": numbers}),
        tmp_path,
    )

    assert found.columns["n"].tolist() == numbers
    assert list(tmp_path.iterdir()) == []


def test_only_one_piece_is_encoded_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 3)
    seen = []

    def counting(table):
        seen.append(table.num_rows)
        return encode(table)

    encode_in_pieces(counting, pa.table({"ids": [[1]] * 7}), tmp_path)

    assert seen == [3, 3, 1]


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b", "c", "d", "e"],
        [1, 2, 3, 4, 5],
        [1, 2, 3, 4.5, 5],  # whole numbers at first
        [None, None, "c", None, "e"],
        [[], [], ["x"], [], []],
        [{"k": 1}, {"k": 2}, {"m": 3}, {}, None],
    ],
)
def test_jsonl_read_in_pieces_has_the_columns_and_types_of_all_rows(monkeypatch, values):
    monkeypatch.setattr(rows, "PIECE", 2)
    content = "".join(json.dumps({"n": number, "v": value}) + "\n" for number, value in enumerate(values))

    table = read_jsonl(io.BytesIO(content.encode()), "rows.jsonl")

    assert table["n"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["v"].type == pa.array(values).type
    assert table["v"].to_pylist() == pa.array(values).to_pylist()


def test_jsonl_keys_that_only_later_pieces_have_are_null_before(monkeypatch):
    monkeypatch.setattr(rows, "PIECE", 1)

    table = read_jsonl(io.BytesIO(b'{"a": 1}\n{"a": 2, "b": "x"}\n'), "rows.jsonl")

    assert table.to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


@pytest.mark.parametrize("size", [1, 2])
def test_jsonl_types_mixed_across_pieces_are_noted_at_the_first_row_that_does_not_fit(monkeypatch, size):
    monkeypatch.setattr(rows, "PIECE", size)

    table = read_jsonl(io.BytesIO(b'{"a": 1}\n{"a": "x"}\n{"a": 2}\n'), "rows.jsonl")

    assert misfits_of(table)["a"].startswith("rows.jsonl:2: column 'a' mixes int and str")
    assert table["a"].to_pylist() == ["1", "x", "2"]


def test_a_faulty_line_is_reported_before_types_mixed_across_pieces(monkeypatch):
    monkeypatch.setattr(rows, "PIECE", 1)

    with pytest.raises(DataError, match=r"rows\.jsonl:3:1: not JSON"):
        read_jsonl(io.BytesIO(b'{"a": 1}\n{"a": "x"}\nnonsense\n'), "rows.jsonl")


def test_csv_read_in_pieces_is_one_table_with_all_rows(monkeypatch):
    monkeypatch.setattr(rows, "PIECE", 2)

    table = read_csv(io.BytesIO(b"a,b\n1,x\n2,y\n3,z\n"), "rows.csv")

    assert table.to_pylist() == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}, {"a": "3", "b": "z"}]


def encode(table: pa.Table) -> Features:
    ids = Ragged.from_lists(table["ids"].to_pylist())
    return Features({"ids": ids, "n": ids.lengths * 2}, ids.lengths, ids.lengths % 3)


def same(one: Features, other: Features) -> bool:
    def arrays(features: Features) -> list[np.ndarray]:
        ids = features.columns["ids"]
        return [ids.values, ids.offsets, features.columns["n"], features.weight, features.cut]

    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))

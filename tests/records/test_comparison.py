"""Two runs compared: equal by every bit or within a tolerance, or the first value that is not."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from lmkit.errors import UsageError
from lmkit.records.comparison import Comparison, compare_runs
from lmkit.records.record import Interval, RunRecord, SplitResult
from lmkit.records.store import write_record
from lmkit.records.weights import read_weights

METRICS = [
    {"step": 2, "epoch": 0, "stage": "train", "train/loss": 0.75, "system/rate": 10.0},
    {"step": 4, "epoch": 0, "stage": "train", "train/loss": 0.5, "system/rate": 12.5},
    {"step": 4, "epoch": 0, "stage": "validation", "validation/loss": None, "validation/accuracy": 0.5},
]


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "embedding.weight": torch.randn(10, 4, generator=generator),
        "half.weight": torch.randn(3, 2, generator=generator).to(torch.bfloat16),
        "half.scale": torch.tensor(2.0, dtype=torch.float16),
        "position": torch.arange(5),
        "mask": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
    }


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of runs that came to the same, but for time."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "model").mkdir(parents=True)
    (first / "predictions").mkdir()
    (first / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in METRICS))
    save_file(tensors(), first / "model" / "model.safetensors")
    rows = {
        "row": [4, 7, 9],
        "prediction": ["a", "b", "a"],
        "reference": ["a", "a", "b"],
        "probabilities": pa.array([[0.75, 0.25], [0.0, 1.0], [0.625, 0.375]], pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(rows), first / "predictions" / "test.parquet")
    keep_record(first)
    shutil.copytree(first, second)
    keep_record(second, rate=77.0)
    slower = [{**row, "system/time": 2.0} for row in METRICS]
    (second / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in slower))
    return first, second


def keep_record(folder: Path, accuracy: float = 0.5, rate: float = 10.0) -> None:
    measures = {"accuracy": Interval(value=accuracy, low=0.25, high=0.75), "loss": Interval(value=0.5)}
    result = SplitResult(rows=3, measures=measures, baselines={"majority": {"accuracy": 0.5}}, rate=rate)
    began = "2026-03-01T10:15:00+00:00"
    write_record(
        folder,
        RunRecord(
            id=folder.name, name="films", state="finished", started=began, seed=0, stages=(), results={"test": result}
        ),
    )


def change_metrics(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    rows = [dict(row) for row in METRICS]
    change(rows)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def change_weights(folder: Path, **changed: torch.Tensor) -> None:
    names = {name.replace(".", "_"): name for name in tensors()}
    path = folder / "model" / "model.safetensors"
    save_file(load_file(path) | {names.get(name, name): value for name, value in changed.items()}, path)


def change_predictions(folder: Path, **columns: Any) -> None:
    path = folder / "predictions" / "test.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        column = pa.array(values, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)


def first_of(comparison: Comparison) -> str:
    assert comparison.first is not None
    return str(comparison.first)


def test_equal_runs_are_equal_by_every_bit_whatever_time_they_took(pair: tuple[Path, Path]) -> None:
    found = compare_runs(*pair)

    assert found.first is None
    assert {part.name: part.count for part in found.parts} == {
        "logged values": 4,
        "weights": 40 + 6 + 1 + 5 + 2,
        "predictions": 3,
        "results": 9,
    }
    assert str(found) == "bit-equal: 4 logged values, 54 weights, 3 predictions, 9 results"


def test_a_logged_value_that_drifts_is_named_with_its_step(pair: tuple[Path, Path]) -> None:
    change_metrics(pair[1], lambda rows: rows[1].update({"train/loss": 0.5 + 2**-50}))

    found = compare_runs(*pair)

    assert first_of(found) == f"step 4, train/loss (train): 0.5 → {0.5 + 2**-50!r} (off by 1.8e-15 of it)"
    assert found.first is not None and (found.first.part, found.first.step) == ("logged values", 4)
    assert str(found).endswith("in all 1 of 4 logged values")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda rows: rows[2].update({"validation/loss": 0.1}),
            "step 4, validation/loss (validation): none → 0.1",
        ),
        (lambda rows: rows[0].pop("train/loss"), "step 2, train/loss (train): 0.75 → none"),
        (lambda rows: rows.pop(), "step 4, the row of validation, epoch 0: validation of step 4 → none"),
        (lambda rows: rows.insert(1, rows[0]), "step 4, the row of train, epoch 0: train of step 4 → train of step 2"),
        (lambda rows: rows.append(rows[-1]), "step 4, the row of validation, epoch 0: none → validation of step 4"),
    ],
)
def test_a_value_or_a_row_that_one_run_lacks_or_has_twice_is_named(
    pair: tuple[Path, Path], change: Callable[[list[dict[str, Any]]], None], told: str
) -> None:
    change_metrics(pair[1], change)

    assert first_of(compare_runs(*pair)) == told


@pytest.mark.parametrize("name", ["embedding.weight", "half.weight", "half.scale", "position", "mask"])
def test_one_changed_number_of_a_tensor_of_any_format_is_named(pair: tuple[Path, Path], name: str) -> None:
    changed = tensors()[name].clone()
    number = changed.numel() - 1
    before = changed.flatten()[number].item()
    changed.view(-1)[number] = not before if name == "mask" else before + 1
    change_weights(pair[1], **{name.replace(".", "_"): changed})

    found = compare_runs(*pair)

    at = ", ".join(str(size - 1) for size in changed.shape)
    now = float(changed.flatten()[number])
    assert first_of(found).startswith(f"{name}[{at}]: {float(before)!r} → {now!r} (off by")
    assert [part.differ for part in found.parts] == [0, 1, 0, 0]


def test_the_sign_of_a_zero_and_what_is_no_number_are_bits_too(pair: tuple[Path, Path]) -> None:
    weights = tensors()["embedding.weight"]
    weights[0, 0], weights[1, 1] = 0.0, math.nan
    for run in pair:
        change_weights(run, embedding_weight=weights)
    assert compare_runs(*pair).first is None

    weights = weights.clone()
    weights[0, 0] = -0.0
    change_weights(pair[1], embedding_weight=weights)
    change_predictions(pair[1], probabilities=[[0.75, 0.25], [-0.0, 1.0], [0.625, 0.375]])

    found = compare_runs(*pair)
    assert first_of(found) == "embedding.weight[0, 0]: 0.0 → -0.0 (off by 0.0e+00 of it)"
    assert [part.differ for part in found.parts] == [0, 1, 1, 0]
    assert compare_runs(*pair, tolerance=1e-9).first is None


def test_a_tensor_of_another_shape_or_format_or_that_is_not_there_is_named(pair: tuple[Path, Path]) -> None:
    change_weights(pair[1], embedding_weight=torch.zeros(4, 10))
    assert first_of(compare_runs(*pair)) == "embedding.weight: F32 10×4 → F32 4×10"

    change_weights(pair[1], embedding_weight=torch.zeros(10, 4, dtype=torch.float64))
    assert first_of(compare_runs(*pair)) == "embedding.weight: F32 10×4 → F64 10×4"

    shutil.copy(pair[0] / "model" / "model.safetensors", pair[1] / "model" / "model.safetensors")
    change_weights(pair[1], more=torch.tensor(1.0))
    assert first_of(compare_runs(*pair)) == "more: none → F32 scalar"

    (pair[1] / "model" / "model.safetensors").unlink()
    assert first_of(compare_runs(*pair)) == "model/model.safetensors: there → none"


def test_a_prediction_that_drifts_is_named_by_its_row(pair: tuple[Path, Path]) -> None:
    change_predictions(pair[1], prediction=["a", "a", "a"])
    assert first_of(compare_runs(*pair)) == "prediction of test, row 7: b → a"

    change_predictions(
        pair[1], prediction=["a", "b", "a"], probabilities=[[0.75, 0.25], [0.0, 1.0], [0.625, 0.375 + 2**-20]]
    )
    assert first_of(compare_runs(*pair)).startswith("probabilities[1] of test, row 9: 0.375 → 0.3750009")

    pq.write_table(pq.read_table(pair[0] / "predictions" / "test.parquet")[:2], pair[1] / "predictions/test.parquet")
    assert first_of(compare_runs(*pair)) == "test, row 9: there → none"


def test_a_result_that_drifts_is_named(pair: tuple[Path, Path]) -> None:
    keep_record(pair[1], accuracy=0.625)

    assert first_of(compare_runs(*pair)) == "measures.accuracy.value of test: 0.5 → 0.625 (off by 2.0e-01 of it)"


def test_the_first_is_what_the_run_came_to_first_and_all_are_counted(pair: tuple[Path, Path]) -> None:
    keep_record(pair[1], accuracy=0.625)
    change_predictions(pair[1], prediction=["b", "a", "b"])
    change_weights(pair[1], embedding_weight=torch.zeros(10, 4))

    found = compare_runs(*pair)

    assert first_of(found).startswith("embedding.weight[")
    assert str(found).endswith("in all 40 of 54 weights, 3 of 3 predictions, 1 of 9 results")


def test_within_a_tolerance_numbers_count_by_their_size_and_weights_by_the_norm_of_all(pair: tuple[Path, Path]) -> None:
    change_metrics(pair[1], lambda rows: rows[1].update({"train/loss": 0.5004}))
    weights = tensors()
    norm = float(sum(weights[name].double().square().sum() for name in REAL).sqrt())
    weights["half.weight"][0, 0] += 0.9e-2 * norm  # a third of that tensor
    change_weights(pair[1], half_weight=weights["half.weight"])

    near, nearer = compare_runs(*pair, tolerance=1e-2), compare_runs(*pair, tolerance=5e-4)

    assert near.first is None
    assert str(near).startswith("equal within 0.01: 4 logged values, 54 weights, 3 predictions")
    assert [part.differ for part in nearer.parts] == [1, 1, 0, 0]
    assert first_of(nearer) == "step 4, train/loss (train): 0.5 → 0.5004 (off by 8.0e-04 of it)"
    weights_of = nearer.parts[1].first
    assert weights_of is not None and weights_of.key == "half.weight[0, 0]"
    assert weights_of.far == pytest.approx(0.9e-2, rel=0.05)  # bfloat16 rounds


REAL = ("embedding.weight", "half.weight", "half.scale")


def test_what_is_counted_rather_than_measured_has_no_tolerance(pair: tuple[Path, Path]) -> None:
    change_weights(pair[1], position=torch.tensor([0, 1, 2, 3, 5]))

    assert first_of(compare_runs(*pair, tolerance=0.5)).startswith("position[4]: 4.0 → 5.0")


def test_probabilities_count_by_their_sum_and_turn_an_answer_where_they_are_near(pair: tuple[Path, Path]) -> None:
    near = [[0.7501, 0.2499], [0.0001, 0.9999], [0.625, 0.375]]
    change_predictions(pair[1], probabilities=near, prediction=["b", "b", "a"])
    assert compare_runs(*pair, tolerance=1e-3).first is None

    far = first_of(compare_runs(*pair, tolerance=1e-5))
    assert far == "prediction of test, row 4: a → b"

    change_predictions(pair[1], probabilities=[[0.75, 0.25]] * 3)
    apart = compare_runs(*pair, tolerance=1e-3)
    assert first_of(apart) == "probabilities[0] of test, row 7: 0.0 → 0.75 (off by 7.5e-01 of it)"
    assert apart.parts[2].differ == 2


def test_an_answer_that_was_chosen_by_nothing_known_is_never_near_another(pair: tuple[Path, Path]) -> None:
    for run in pair:
        path = run / "predictions" / "test.parquet"
        pq.write_table(pq.read_table(path).drop_columns("probabilities"), path)
    change_predictions(pair[1], prediction=["a", "a", "a"])

    assert first_of(compare_runs(*pair, tolerance=0.5)) == "prediction of test, row 7: b → a"


@pytest.mark.parametrize("form", ["F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL"])
def test_weights_are_read_as_the_library_reads_them(tmp_path: Path, form: str) -> None:
    dtypes = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    others = {"I64": torch.int64, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
    values = torch.tensor([[1.5, 0.0, 3e2], [7.0, 1e-3, 2.0]]).clamp(0, 100).to((dtypes | others)[form])
    save_file({"a": torch.ones(3), "b": values}, tmp_path / "some.safetensors", metadata={"format": "pt"})

    read = read_weights(tmp_path / "some.safetensors")

    assert set(read) == {"a", "b"}
    assert (read["b"].form, read["b"].shape) == (form, (2, 3))
    np.testing.assert_array_equal(read["b"].values(), values.double().numpy().ravel())


def safetensors(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no",
        b"\xff" * 8,
        safetensors(b"[]"),
        safetensors(b"{"),
        safetensors(b"[" * 100_000),
        safetensors(b'{"a": {"b": 1}}'),
        safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 8]}}') + bytes(8),
        safetensors(b'{"a": {"dtype": "F32", "shape": [9999999999], "data_offsets": [0, 8]}}') + bytes(8),
        safetensors(b'{"a": {"dtype": "S9", "shape": [2], "data_offsets": [0, 8]}}') + bytes(8),
    ],
)
def test_damaged_weights_are_told(pair: tuple[Path, Path], content: bytes) -> None:
    (pair[1] / "model" / "model.safetensors").write_bytes(content)

    with pytest.raises(UsageError, match=r"model\.safetensors is damaged"):
        compare_runs(*pair)


def test_weights_cut_short_are_told(pair: tuple[Path, Path]) -> None:
    path = pair[1] / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])

    with pytest.raises(UsageError, match="is damaged"):
        compare_runs(*pair)


@pytest.mark.parametrize("place", ["metrics.jsonl", "predictions/test.parquet", "record.json"])
@pytest.mark.parametrize("content", [b"nonsense\n", b"[1]\n", b"{}\n"])
def test_a_damaged_file_is_told(pair: tuple[Path, Path], place: str, content: bytes) -> None:
    (pair[1] / place).write_bytes(content)

    with pytest.raises(UsageError, match="damaged"):
        compare_runs(*pair)

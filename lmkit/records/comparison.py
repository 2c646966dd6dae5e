"""A comparison: whether two runs came to the same, number by number, and where they first did not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from lmkit.errors import UsageError
from lmkit.records.metrics import read_metrics
from lmkit.records.store import METRICS, MODEL, PREDICTIONS, read_record
from lmkit.records.weights import Tensor, place, read_weights

OWN_TIME = "system/"
"""What the values begin with that tell of the machine's time and memory, and are never the same."""

ROW = "row"
"""The column of predictions that names the row in its source."""

ANSWER, SCORES = "prediction", "probabilities"
"""The columns of what was answered, and of what it was chosen by where that was a choice."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not the same in both runs. `str(difference)` is a line that says where, and how far off."""

    part: str
    """`logged values`, `weights`, `predictions` or `results`."""
    key: str
    before: Any
    """None where the first run has none."""
    now: Any
    """None where the second run has none."""
    step: int | None = None
    """Of a logged value."""
    far: float = math.inf
    """How far off: the difference by the size, of weights by norms; infinite where that is no number."""

    def __str__(self) -> str:
        step = f"step {self.step}, " if self.step is not None else ""
        off = f" (off by {self.far:.1e} of it)" if math.isfinite(self.far) else ""
        return f"{step}{self.key}: {_shown(self.before)} → {_shown(self.now)}{off}"


@dataclass(frozen=True, slots=True)
class Part:
    """What was compared of one sort."""

    name: str
    count: int
    """How many values, or rows of predictions, there were to compare."""
    differ: int
    """How many of them differ by more than is allowed; of a tensor that does, all numbers that are not the same."""
    first: Difference | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side: logged values by step, weights, predictions and results."""

    parts: tuple[Part, ...]
    tolerance: float | None
    """How far off a value may be, relative to its size; None where every bit counts."""

    @property
    def first(self) -> Difference | None:
        """The first value that differs, in the order in which a run makes them."""
        return next((part.first for part in self.parts if part.first is not None), None)

    def __str__(self) -> str:
        if self.first is None:
            kind = "bit-equal" if self.tolerance is None else f"equal within {self.tolerance:g}"
            return f"{kind}: {', '.join(f'{part.count:,} {part.name}' for part in self.parts)}"
        differ = ", ".join(f"{part.differ:,} of {part.count:,} {part.name}" for part in self.parts if part.differ)
        return f"first differs {self.first}; in all {differ}"


def compare_runs(first: Path, second: Path, tolerance: float | None = None) -> Comparison:
    """Compare what two finished runs logged (but for the time and memory it took), learnt, predicted and measured.

    Without a tolerance every bit counts. With one, a number may be off by so much of the larger of both (probabilities
    and logits by so much of 1, if that is larger), and all weights together by so much of their norm. Raises UsageError
    where a file of either run is damaged.
    """
    parts: dict[str, Callable[[Path, Path, float | None], Iterator[_Compared]]] = {
        "logged values": _logged,
        "weights": _weights,
        "predictions": _predictions,
        "results": _results,
    }
    return Comparison(
        tuple(_part(name, compare(first, second, tolerance)) for name, compare in parts.items()), tolerance
    )


_Compared = tuple[int, int, Difference | None]
"""How many values were compared, how many of them differ, and the first that does."""


def _part(name: str, compared: Iterator[_Compared]) -> Part:
    count = differ = 0
    first = None
    for values, differing, difference in compared:
        count, differ, first = count + values, differ + differing, first or difference
    return Part(name, count, differ, first)


def _logged(before: Path, now: Path, tolerance: float | None) -> Iterator[_Compared]:
    """The rows of metrics.jsonl in their order, up to the first that is of another step."""
    for old, new in zip_longest(_rows(before / METRICS), _rows(now / METRICS)):
        row = old or new
        stage = f"{row['stage']}, epoch {row['epoch']}"
        if old is None or new is None or any(old[key] != new[key] for key in IDENTITY):
            yield 1, 1, Difference("logged values", f"the row of {stage}", _identity(old), _identity(new), row["step"])
            return
        a, b = _values(old), _values(new)
        found = [
            Difference("logged values", f"{key} ({row['stage']})", *pair, row["step"], far)
            for key, pair, far in _differing(a, b, tolerance)
        ]
        yield len(a.keys() | b.keys()), len(found), next(iter(found), None)


IDENTITY = ("step", "epoch", "stage")
"""The keys by which a row is the same row."""


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in IDENTITY and not key.startswith(OWN_TIME)}


def _identity(row: Mapping[str, Any] | None) -> str | None:
    return None if row is None else f"{row['stage']} of step {row['step']}"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of metrics. Raises UsageError for what is none."""
    try:
        for row in read_metrics(path):
            if not isinstance(row, dict) or not all(key in row for key in IDENTITY):
                raise ValueError("a row without step, epoch and stage")
            yield row
    except ValueError as cause:
        raise UsageError(f"this run's record is damaged: {path}: {cause}") from cause


def _weights(before: Path, now: Path, tolerance: float | None) -> Iterator[_Compared]:
    """The tensors of all files of weights, in the order of their names; with a tolerance all of them as one vector.

    By itself a tensor may be all noise: the bias of attention's keys has no gradient but rounding errors, which
    optimizers that divide by a gradient's size blow up.
    """
    offs: list[_Off] = []
    for name, old, new in _both(_files(before / MODEL, "*.safetensors"), _files(now / MODEL, "*.safetensors")):
        if old is None or new is None:
            yield 1, 1, Difference("weights", f"{MODEL}/{name}", _there(old), _there(new))
            continue
        for tensor, a, b in _both(read_weights(old), read_weights(new)):
            if a is None or b is None or (a.form, a.shape) != (b.form, b.shape):
                size = max(len(one.bits) for one in (a, b) if one is not None)
                yield size, size, Difference("weights", tensor, _form(a), _form(b))
                continue
            off = _off(tensor, a, b)
            if tolerance is None or not a.is_real:
                yield off.compared
            else:
                offs.append(off)
    far = _far_together([off.squares for off in offs])
    for off in sorted(offs, key=lambda off: -off.squares[0]):
        count, differ, difference = off.compared
        if tolerance is None or far <= tolerance or difference is None:
            yield count, 0, None
        else:
            yield count, differ, replace(difference, far=far)


class _Off(NamedTuple):
    """How far off a tensor is."""

    compared: _Compared
    squares: tuple[float, float, float]
    """Sums of squares: of the differences, and of both tensors."""


def _off(name: str, a: Tensor, b: Tensor) -> _Off:
    """Two tensors of one shape; of those that differ, the number that is farthest off stands for all."""
    import numpy as np

    other = a.bits.view(f"<u{a.bits.itemsize}") != b.bits.view(f"<u{b.bits.itemsize}")
    differ, count = int(other.sum()), len(a.bits)
    old, new = a.values(), b.values()
    off = np.abs(old - new)
    off[np.isnan(old) & np.isnan(new)] = 0.0
    squares = float(off @ off), float(old @ old), float(new @ new)
    if not differ:
        return _Off((count, 0, None), squares)
    number = int(np.argmax(np.where(other, np.nan_to_num(off, nan=math.inf), -1.0)))
    at = f"{name}[{', '.join(map(str, place(a, number)))}]"
    first = Difference("weights", at, float(old[number]), float(new[number]), far=_far_together([squares]))
    return _Off((count, differ, first), squares)


def _far_together(squares: Sequence[tuple[float, float, float]]) -> float:
    """The norm of all differences by the larger norm of both."""
    off, old, new = (math.sqrt(sum(each)) for each in zip(*squares, strict=True)) if squares else (0.0, 0.0, 0.0)
    return _finite(off / max(old, new)) if off else 0.0


def _predictions(before: Path, now: Path, tolerance: float | None) -> Iterator[_Compared]:
    """The rows of each split's predictions, in their order."""
    for name, old, new in _both(_files(before / PREDICTIONS, "*.parquet"), _files(now / PREDICTIONS, "*.parquet")):
        if old is None or new is None:
            yield 1, 1, Difference("predictions", f"{PREDICTIONS}/{name}", _there(old), _there(new))
            continue
        split = name.removesuffix(".parquet")
        for number, (a, b) in enumerate(zip_longest(_table(old), _table(new))):
            row = f"{split}, row {(a or b).get(ROW, number)}"
            if a is None or b is None:
                yield 1, 1, Difference("predictions", row, _there(a), _there(b))
            else:
                found = [
                    Difference("predictions", f"{key} of {row}", *pair, far=far)
                    for key, pair, far in _differing_answers(a, b, tolerance)
                ]
                yield 1, int(bool(found)), next(iter(found), None)


def _differing_answers(
    before: dict[str, Any], now: dict[str, Any], tolerance: float | None
) -> list[tuple[str, tuple[Any, Any], float]]:
    """What differs in two rows of predictions.

    Probabilities and logits have a size of their own, 1, by which those near 0 count. Where they are near enough, so
    is an answer that they turn.
    """
    if repr(before) == repr(now):
        return []
    found = list(_differing(before, now, tolerance, least=1.0))
    if tolerance is not None and SCORES in before and all(key == ANSWER for key, _, _ in found):
        return []
    return found


def _table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file. Raises UsageError for a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as cause:
        raise UsageError(f"this run's record is damaged: {path}: {cause}") from cause


def _results(before: Path, now: Path, tolerance: float | None) -> Iterator[_Compared]:
    """What was measured, with intervals, baselines and tables, but not how fast."""
    results = [json.loads(read_record(run).model_dump_json())["results"] for run in (before, now)]
    for split, old, new in _both(*results):
        a, b = ({key: value for key, value in (side or {}).items() if key != "rate"} for side in (old, new))
        found = [
            Difference("results", f"{key} of {split}", *pair, far=far) for key, pair, far in _differing(a, b, tolerance)
        ]
        yield max(_count(a), _count(b)), len(found), next(iter(found), None)


def _differing(
    before: Any, now: Any, tolerance: float | None, key: str = "", least: float = 0.0
) -> Iterator[tuple[str, tuple[Any, Any], float]]:
    """What differs in two values, however nested: its key, both values, how far off."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name, old, new in _both(before, now):
            yield from _differing(old, new, tolerance, f"{key}.{name}" if key else str(name), least)
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield key, (before, now), math.inf
            return
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differing(old, new, tolerance, f"{key}[{number}]", least)
    elif repr(before) != repr(now):  # by which a zero has a sign, and what is no number is itself
        far = _far(before, now, least)
        if tolerance is None or far > tolerance:
            yield key, (before, now), far


def _far(before: Any, now: Any, least: float) -> float:
    """The difference by the larger of both, or by `least` where that is larger; infinite for what is no number."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, now)):
        return math.inf
    larger = max(abs(before), abs(now), least)
    return _finite(abs(before - now) / larger) if larger else 0.0


def _finite(far: float) -> float:
    return far if math.isfinite(far) else math.inf


def _both(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each name of either, with both values; None where one lacks it."""
    for name in [*before, *(name for name in now if name not in before)]:
        yield name, before.get(name), now.get(name)


def _files(folder: Path, pattern: str) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob(pattern))}


def _there(value: Any) -> str | None:
    return None if value is None else "there"


def _form(tensor: Tensor | None) -> str | None:
    return None if tensor is None else f"{tensor.form} {'×'.join(map(str, tensor.shape)) or 'scalar'}"


def _count(value: Any) -> int:
    """The leaves of nested mappings and lists."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return 1 if inner is None else sum(map(_count, inner))


def _shown(value: Any) -> str:
    text = "none" if value is None else repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


LONGEST = 80
"""Signs of a value in a line."""

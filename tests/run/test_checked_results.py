"""Results that were changed on the disk: predictions, measurements and verdicts are named as damaged, not believed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from lmkit.errors import UsageError
from lmkit.records.files import write_json
from lmkit.records.predictions import COLUMNS, read_predictions
from lmkit.run.evaluate import write_predictions
from lmkit.validation.study import read_study
from tests.cli.test_damaged_runs import STUDY

ROWS = 12


def test_no_changed_byte_of_predictions_gives_a_row_another_answer(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    measured: Any = SimpleNamespace(predictions={"prediction": ["a", "b", "c"] * (ROWS // 3)})
    write_predictions(path, pa.table({"row": range(ROWS)}), ["a", "b"] * (ROWS // 2), measured)
    before, content = read_predictions(path), path.read_bytes()

    refused = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        try:
            now = read_predictions(path)
        except UsageError as error:
            refused += 1
            assert str(path) in str(error)
            continue
        assert now.select(COLUMNS).to_pydict() == before.select(COLUMNS).to_pydict(), place
    assert refused > len(content) / 2


def test_a_verdict_with_another_number_is_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    write_json(path, STUDY, checked=True)
    assert read_study(tmp_path).measures["accuracy"].value == 0.5

    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.9'))

    assert json.loads(path.read_text())["measures"]["accuracy"]["value"] == 0.9
    with pytest.raises(UsageError, match="verdict.json is damaged: it is not as it was written"):
        read_study(tmp_path)

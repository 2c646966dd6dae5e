"""No weight, loss, measure or answer that is NaN or infinite counts as a result."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lmkit import load_recipe, run_recipe
from lmkit.errors import TrainingError, UsageError
from lmkit.records.store import MODEL, read_record, runs_folder
from lmkit.run.learner import Learner
from lmkit.run.numbers import lost_measures, lost_rows, lost_weights
from lmkit.run.parts import NamedMetric
from lmkit.run.save import WEIGHTS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_no_number_is_named(value: float) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert lost_weights(model) == []

    with torch.no_grad():
        model[0].weight[1, 0] = value

    assert lost_weights(model) == ["0.weight"]


def test_a_buffer_may_be_a_mask_of_infinities_but_not_nan() -> None:
    model = nn.BatchNorm1d(2)
    model.register_buffer("mask", torch.full((2, 2), -math.inf))
    assert lost_weights(model) == []

    cast("torch.Tensor", model.running_var)[0] = math.nan

    assert lost_weights(model) == ["running_var"]


def test_whole_numbers_and_a_model_without_weights_are_fine() -> None:
    model = nn.Identity()
    assert lost_weights(model) == []

    model.register_buffer("ids", torch.arange(3))

    assert lost_weights(model) == []


def test_rows_without_scores_are_found_and_padding_is_not_looked_at() -> None:
    scores = torch.zeros(3, 2, 4)
    scores[1, 1, 0], scores[2, 0, 3] = math.nan, math.inf
    mask = torch.tensor([[True, True], [True, False], [True, True]])

    assert lost_rows(scores, None) == [1, 2]
    assert lost_rows(scores, mask) == [2]
    assert lost_rows(scores[:1], None) == []


def test_measures_without_a_value_are_named() -> None:
    assert lost_measures({"loss": 0.1, "f1": math.nan, "bleu": -math.inf, "mcc": 0.0}) == ["f1", "bleu"]


class _Undefined:
    """A plugin's metric that divides zero by zero."""

    def __init__(self, value: float) -> None:
        self.value = value

    def statistics(self, predictions: Any, references: Any) -> Any:
        return np.ones((len(references), 1))

    def compute(self, total: Any) -> dict[str, float]:
        return {"skill": self.value, "bias": 0.0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("split", ["validation", "test", "rows.csv"])
def test_a_metric_without_a_value_is_no_result_of_any_split(value: float, split: str) -> None:
    metric = NamedMetric("skill", ("skill", "bias"), _Undefined(value))
    learner = Learner(nn.Linear(1, 1), cast("Any", None), cast("Any", None), [metric], {}, {}, lambda *_: None, 1)
    learner.split = split

    with pytest.raises(TrainingError, match=f"metric 'skill' gave {value} for skill on {split}"):
        learner._check_measures({"skill": value, "bias": 0.0, "loss": 0.5})


def test_a_loss_that_is_no_number_is_told_before_the_measures() -> None:
    learner = Learner(nn.Linear(1, 1), cast("Any", None), cast("Any", None), [], {}, {}, lambda *_: None, 1)
    learner.split = "test"

    with pytest.raises(TrainingError, match="the loss on test is NaN or infinite"):
        learner._check_measures({"accuracy": 0.8, "loss": math.nan})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "data", "found"),
    [
        ("1e30", "split={train: 0.6, validation: 0.2, test: 0.2}", "the loss on validation became NaN or infinite"),
        ("1e39", "split={train: 0.6, validation: 0.2, test: 0.2}", "the weights (embedding"),
        ("1e39", "split={train: 0.8, validation: 0, test: 0.2}", "the weights (embedding"),
    ],
)
def test_a_run_whose_last_step_spoils_it_has_failed(recipe_file: Path, rate: str, data: str, found: str) -> None:
    changes = [f"optimizer={{use: adamw, lr: {rate}}}", "train.steps=1", "train.epochs=null", f"data.{data}"]

    with pytest.raises(TrainingError) as raised:
        run_recipe(load_recipe(recipe_file, changes), base=recipe_file.parent)

    (folder,) = [path for path in runs_folder().iterdir() if path.is_dir()]
    record = read_record(folder)
    assert found in str(raised.value) and "after step 1" in str(raised.value)
    assert (record.state, record.results) == ("failed", {})
    assert not (folder / MODEL).exists()


@pytest.mark.slow
def test_saved_weights_that_are_no_numbers_answer_nothing(recipe_file: Path) -> None:
    run = run_recipe(load_recipe(recipe_file, ["train.epochs=1"]), base=recipe_file.parent)
    path = run.folder / MODEL / WEIGHTS
    weights = load_file(path)
    next(iter(weights.values()))[0] = math.nan
    save_file(weights, path)

    with pytest.raises(UsageError, match="its weights hold NaN or infinity"):
        run.predict(["a fine film"])

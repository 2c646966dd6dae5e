"""How the optimizers behave in a training loop: closures, schedules, groups, averages, and a model that learns."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_optimizer import ScheduleFreeAdamW
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmkit.api import load_recipe, run_recipe
from lmkit.component import build
from lmkit.errors import TrainingError
from lmkit_optimizers.plugin import provide_optimizers

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

PROVIDED = {component.name: component for component in provide_optimizers()}


class Tagger(nn.Module):
    """Embedding, LSTM, attention, feedforward and a head: a parameter of every sort."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.feedforward = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, 5)."""
        x, _ = self.lstm(self.embedding(ids))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        logits: Tensor = self.head(self.norm(x + self.feedforward(x)))
        return logits

    def loss(self) -> Tensor:
        """For a fixed batch, in which each id's label is its remainder by 5."""
        ids = torch.arange(24).reshape(4, 6) * 7 % 20
        return nn.functional.cross_entropy(self(ids).flatten(0, 1), ids.flatten() % 5)


def tagger(use: str, **settings: Any) -> tuple[Tagger, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = Tagger()
    config = PROVIDED[use].config.model_validate({"use": use, **settings})
    return model, build(PROVIDED[use], config, model=model, parameters=list(model.named_parameters()))


def train(model: Tagger, optimizer: Any, steps: int, closures: bool = False) -> None:
    def closure() -> float:
        optimizer.zero_grad()
        with sdpa_kernel(SDPBackend.MATH):  # a fused kernel's gradients have no derivatives
            loss = model.loss()
        if getattr(optimizer, "needs_curvature", False):
            optimizer.measure_curvature(loss)
        torch.autograd.backward(loss)
        return loss.item()

    for _ in range(steps):
        if closures:
            assert optimizer.step(closure) is not None
        else:
            closure()
            optimizer.step()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("use", PROVIDED)
class TestEveryOptimizer:
    def test_steps_with_a_closure_as_without(self, use: str) -> None:
        one, stepped = tagger(use)
        train(one, stepped, 4)

        other, called = tagger(use)
        train(other, called, 4, closures=True)

        assert all(map(torch.equal, weights(one).values(), weights(other).values()))

    def test_stands_still_at_a_rate_of_nought(self, use: str) -> None:
        if use == "schedule-free-adamw":
            pytest.skip("goes on averaging what it has seen")
        model, optimizer = tagger(use, weight_decay=0.1)
        train(model, optimizer, 2)
        before = weights(model)
        for group in optimizer.param_groups:
            group["lr"] = 0.0

        train(model, optimizer, 2)

        torch.testing.assert_close(weights(model), before, rtol=0, atol=0)

    def test_trains_half_the_weights_and_leaves_the_others(self, use: str) -> None:
        model, _ = tagger(use)
        trained = [(name, p) for name, p in model.named_parameters() if name.startswith(("feedforward", "head"))]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in dict(trained))
        before = weights(model)

        config = PROVIDED[use].config.model_validate({"use": use})
        train(model, build(PROVIDED[use], config, model=model, parameters=trained), 3)

        assert {name for name, now in weights(model).items() if not torch.equal(now, before[name])} == {*dict(trained)}

    def test_learns_at_its_own_rate(self, use: str) -> None:
        model, optimizer = tagger(use)
        start = model.loss().item()

        train(model, optimizer, 60)

        assert model.loss().item() < 0.98 * start


class TestMuonsGroups:
    def test_hidden_matrices_are_muons_and_all_else_is_adamws(self) -> None:
        model, optimizer = tagger("muon")
        names = {id(parameter): name for name, parameter in model.named_parameters()}

        groups = [
            (group["use_muon"], group["weight_decay"], {names[id(parameter)] for parameter in group["params"]})
            for group in optimizer.param_groups
        ]

        hidden = {
            "lstm.weight_ih_l0",
            "lstm.weight_hh_l0",
            "attention.in_proj_weight",
            "attention.out_proj.weight",
            "feedforward.0.weight",
            "feedforward.2.weight",
        }
        vectors = {name for name, parameter in model.named_parameters() if parameter.ndim < 2}
        assert groups == [
            (True, 0.1, hidden),
            (False, 0.1, {"embedding.weight", "head.weight"}),
            (False, 0.0, vectors),
        ]

    @pytest.mark.parametrize(
        "name", ["output", "network.lm_head", "network.classifier", "network.classifier.dense", "network.score"]
    )
    def test_heads_are_known_by_their_usual_names(self, name: str) -> None:
        assert name not in self.moved_by_muon(nested({name: nn.Linear(4, 3), "layer": nn.Linear(4, 4)}))

    @pytest.mark.parametrize(
        "name", ["encoder.0.attention.output", "network.encoder.layer.0.output.dense", "network.pooler.dense"]
    )
    def test_layers_with_names_alike_are_hidden(self, name: str) -> None:
        assert name in self.moved_by_muon(nested({name: nn.Linear(4, 3), "layer": nn.Linear(4, 4)}))

    def test_a_head_of_another_name_can_be_named(self) -> None:
        model = nested({"to_logits": nn.Linear(4, 3), "layer": nn.Linear(4, 4)})

        assert self.moved_by_muon(model, heads=("to_logits",)) == {"layer"}

    def test_a_matrix_tied_to_an_embedding_is_adamws(self) -> None:
        model = nested({"embedding": nn.Embedding(6, 4), "decoder": nn.Linear(4, 6), "layer": nn.Linear(4, 4)})
        model.get_submodule("decoder").weight = model.get_submodule("embedding").weight

        assert self.moved_by_muon(model) == {"layer"}

    def test_a_model_without_hidden_matrices_is_told_so(self) -> None:
        model = nested({"embedding": nn.Embedding(6, 4), "head": nn.Linear(4, 6)})

        with pytest.raises(TrainingError, match="this model trains none: use another optimizer, or see whether"):
            self.moved_by_muon(model)

    def moved_by_muon(self, model: nn.Module, **settings: Any) -> set[str]:
        """The modules whose matrix is."""
        config = PROVIDED["muon"].config.model_validate({"use": "muon", **settings})
        optimizer = build(PROVIDED["muon"], config, model=model, parameters=list(model.named_parameters()))
        muon = {id(p) for group in optimizer.param_groups if group["use_muon"] for p in group["params"] if p.ndim == 2}
        return {name.rpartition(".")[0] for name, parameter in model.named_parameters() if id(parameter) in muon}


class TestScheduleFreeAverages:
    def test_training_goes_on_from_where_it_was_after_a_measurement(self) -> None:
        (measured, optimizer), (other, undisturbed) = tagger("schedule-free-adamw"), tagger("schedule-free-adamw")
        train(measured, optimizer, 5)
        train(other, undisturbed, 5)

        optimizer.eval()
        optimizer.train()
        train(measured, optimizer, 5)
        train(other, undisturbed, 5)

        torch.testing.assert_close(weights(measured), weights(other), rtol=1e-4, atol=1e-5)

    def test_whether_weights_are_averages_is_saved_with_them(self) -> None:
        model, optimizer = tagger("schedule-free-adamw")
        train(model, optimizer, 5)
        optimizer.eval()
        saved = io.BytesIO()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, saved)

        saved.seek(0)
        state = torch.load(saved, weights_only=True)
        other, resumed = tagger("schedule-free-adamw")
        other.load_state_dict(state["model"])
        resumed.load_state_dict(state["optimizer"])
        for each in (optimizer, resumed):
            each.train()
        train(model, optimizer, 2)
        train(other, resumed, 2)

        assert all(map(torch.equal, weights(model).values(), weights(other).values()))


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Transformer on short reviews whose wording tells the label."""
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LMKIT_RUNS", str(tmp_path / "runs"))
    chance = random.Random(0)
    words = {"fresh": ["fine", "bright", "warm", "witty"], "rotten": ["dull", "wooden", "cold", "empty"]}
    rows = [
        {"text": f"a {chance.choice(words[label])} film, number {number}", "label": label}
        for number in range(60)
        for label in words
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize("use", ["muon", "schedule-free-adamw", "sophia"])
def test_a_recipe_trains_with_it(use: str, recipe_file: Path) -> None:
    run = run_recipe(load_recipe(recipe_file, [f"optimizer={{use: {use}}}"]), base=recipe_file.parent)

    assert run.record.results["test"].measures["accuracy"].value > 0.9


@pytest.mark.long
@pytest.mark.slow
def test_two_ranks_train_with_sophia(recipe_file: Path) -> None:
    overrides = ["optimizer={use: sophia, measure_every: 2}", "train.devices=2", "train.batch_size=6"]

    run = run_recipe(load_recipe(recipe_file, overrides), base=recipe_file.parent)

    assert run.record.results["test"].measures["accuracy"].value > 0.9


RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
optimizer: adamw
scheduler: {use: constant, warmup: 0.1}
train: {epochs: 20, batch_size: 12, clip_norm: 1.0, accumulate: 2, threads: 1, accelerator: cpu, precision: 32}
evaluate: {resamples: 100}
"""


def nested(modules: dict[str, nn.Module]) -> nn.Module:
    """A model that holds the modules under their dotted names."""
    model = nn.Module()
    for name, module in modules.items():
        *parents, last = name.split(".")
        place = model
        for parent in parents:
            if parent not in dict(place.named_children()):
                place.add_module(parent, nn.Module())
            place = place.get_submodule(parent)
        place.add_module(last, module)
    return model


def test_a_run_measures_and_keeps_the_average(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[str, int]] = []

    class Told(ScheduleFreeAdamW):
        def eval(self) -> None:
            if self.param_groups[0]["train_mode"]:
                turns.append(("average", self.param_groups[0]["step"]))
            super().eval()

        def train(self) -> None:
            if not self.param_groups[0]["train_mode"]:
                turns.append(("trained", self.param_groups[0]["step"]))
            super().train()

    monkeypatch.setattr("lmkit_optimizers.build.ScheduleFreeAdamW", Told)
    overrides = ["optimizer={use: schedule-free-adamw}", "train.epochs=2"]

    run_recipe(load_recipe(recipe_file, overrides), base=recipe_file.parent)

    assert turns == [("average", 3), ("trained", 3), ("average", 6)]

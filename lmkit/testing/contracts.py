"""Tests that any plugin can inherit: one class for the plugin itself, and one for each of several kinds.

    class TestSignum(OptimizerContract):
        component = Component(SignumConfig, build="lmkit_signum.build:build_signum")

Each class says what its kind promises to the rest of lmkit; a test that is one's own is added beside.
"""

from __future__ import annotations

import copy
import inspect
import io
import json
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmkit.component import Component, build
from lmkit.kinds import KINDS
from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead, TokenHead
from lmkit.kinds.metric import PREDICTION, Columns, Direction, Metric, MetricConfig
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.perturbation import Perturbation
from lmkit.kinds.search import (
    Choice,
    Failed,
    Finished,
    History,
    Integers,
    Running,
    Search,
    Space,
    Uniform,
)
from lmkit.kinds.task import Features, Ragged
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.kinds.tracker import Tracker
from lmkit.kinds.transform import Row, Transform, TransformConfig
from lmkit.plugins import load_plugins
from lmkit.plugins.cost import HEAVY
from lmkit.pretrained import pretrained_tokenizer
from lmkit.recipe.words import setting_docstrings
from lmkit.records.accounts import read_accounts
from lmkit.records.metrics import MetricsWriter
from lmkit.records.record import RunRecord
from lmkit.records.store import METRICS, RECIPE, write_record
from lmkit.workers.feeding import feed_trackers

OFFERS: dict[str, tuple[str, ...]] = {
    "data": ("seed", "folder"),
    "transform": (),
    "task": ("labels", "tokenizer", "target_tokenizer"),
    "tokenizer": ("texts", "folder"),
    "model": ("tokenizer", "target_tokenizer", "head", "features", "folder", "saved"),
    "optimizer": ("model", "parameters"),
    "scheduler": ("optimizer", "total_steps", "direction"),
    "metric": ("labels",),
    "perturbation": ("seed",),
    "tracker": ("run_folder", "run_name", "folder", "insist"),
    "search": ("space", "seed", "direction"),
}
"""What the builders of each kind may ask for."""


_LABELS = ("no", "yes", "maybe")


class PluginContract:
    """Inherit, and name the plugin's module, as its entry point does."""

    module: ClassVar[str]

    def test_it_provides_components_or_listens_to_runs(self) -> None:
        listens = load_plugins([("plugin", None, self.module)]).listeners

        assert self._components() or listens, f"{self.module} provides nothing; its hooks bear the mark @hookimpl"

    def test_importing_it_imports_nothing_heavy(self) -> None:
        program = (
            f"import sys, {self.module}; "
            f"print(*sorted({set(HEAVY)!r} & {{name.partition('.')[0] for name in sys.modules}}))"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)

        assert run.returncode == 0, run.stderr
        assert not run.stdout.split(), "move what needs these to the builders' module"

    def test_names_are_kebab_case(self) -> None:
        names = [component.name for _, component in self._components()]

        assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []

    def test_every_component_and_every_setting_is_explained(self) -> None:
        bare = [component.name for _, component in self._components() if not component.config.__doc__]
        bare += [
            f"{component.name}.{field}"
            for _, component in self._components()
            for field in component.config.model_fields
            if field not in setting_docstrings(component.config)
        ]

        assert bare == [], "a docstring under each field says its unit, its meaning and when to change it"

    def test_use_has_no_default(self) -> None:
        lax = [c.name for _, c in self._components() if not c.config.model_fields["use"].is_required()]

        assert lax == []

    def test_every_builder_asks_for_what_its_kind_offers(self) -> None:
        for kind, component in self._components():
            _, *asked = inspect.signature(component.load()).parameters.values()
            named = {p.name for p in asked if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}

            assert named <= set(OFFERS[kind]), f"{component.build}: a {kind} is offered {', '.join(OFFERS[kind])}"

    def _components(self) -> list[tuple[str, Component]]:
        loaded = load_plugins([("plugin", None, self.module)])
        assert [plugin.cause for plugin in loaded.found] == [None]
        catalog = loaded.catalog
        return [(kind, catalog.find(kind, name).component) for kind in KINDS for name in catalog.names(kind)]


class TransformContract:
    """Inherit, and give the component and its settings; `texts` may be some that it changes."""

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}

    texts: ClassVar[Sequence[str]] = (
        "A good  film,\nnot <b>the</b> best of all.",
        "Das ist schön.",
        "这部电影很好",
        " ",
        "",
    )
    """Texts that it is tried on."""

    idempotent: ClassVar[bool] = False
    """Whether applying it twice is applying it once."""

    def test_a_row_keeps_its_columns_and_their_types(self) -> None:
        for row in self._rows():
            changed = self._transform()(copy.deepcopy(row))

            assert {name: type(value) for name, value in changed.items()} == {
                name: type(value) for name, value in row.items()
            }
            assert all(isinstance(word, str) for value in changed.values() for word in value)

    def test_words_stay_as_many_as_their_tags(self) -> None:
        for row in self._rows():
            changed = self._transform()(copy.deepcopy(row))

            lists = [name for name, value in row.items() if isinstance(value, list)]
            assert {name: len(changed[name]) for name in lists} == {name: len(row[name]) for name in lists}

    def test_the_given_row_is_left_alone(self) -> None:
        for row in self._rows():
            given = copy.deepcopy(row)

            self._transform()(given)

            assert given == row

    def test_a_row_is_changed_by_what_it_holds_alone(self) -> None:
        rows, transform = self._rows(), self._transform()
        changed = [transform(copy.deepcopy(row)) for row in rows]

        assert [transform(copy.deepcopy(row)) for row in reversed(rows)] == changed[::-1]
        assert [self._transform()(copy.deepcopy(row)) for row in rows] == changed

    def test_texts_are_such_as_can_be_stored(self) -> None:
        for row in self._rows():
            for value in self._transform()(copy.deepcopy(row)).values():
                assert not re.search("[\ud800-\udfff]", "".join(value)), "half of a surrogate pair is no text"

    def test_twice_is_once_where_that_is_said(self) -> None:
        transform = self._transform()
        for row in self._rows() if self.idempotent else ():
            once = transform(copy.deepcopy(row))

            assert transform(copy.deepcopy(once)) == once

    def _rows(self) -> list[Row]:
        """Each text as a column beside another, and as words where it can be applied to these."""
        reads = self._config().reads
        rows: list[Row] = []
        if "text" in reads:
            rows += [{"text": text, "other": self.texts[-1 - place]} for place, text in enumerate(self.texts)]
        if "words" in reads:
            rows += [{"words": words} for words in ([], *(text.split(" ") for text in self.texts))]
        return rows

    def _config(self) -> TransformConfig:
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        assert isinstance(config, TransformConfig)
        return config

    def _transform(self) -> Transform:
        transform: Transform = build(self.component, self._config())
        return transform


class TokenizerContract:
    """Inherit, and give a `tokenizer` fixture: one that knows the pieces of `texts`."""

    texts: ClassVar[Sequence[str]] = ("a good film", "not a good film", "good")
    """Texts that it can spell without its unknown token."""

    lossless: ClassVar[bool] = False
    """Whether decoding gives back each of the texts, character by character."""

    def test_a_text_is_encoded_the_same_alone_and_among_others(self, tokenizer: Tokenizer) -> None:
        together = tokenizer.encode(self.texts)

        assert together == [tokenizer.encode([text])[0] for text in self.texts]

    def test_ids_are_pieces_of_the_vocabulary(self, tokenizer: Tokenizer) -> None:
        ids = {number for row in tokenizer.encode(self.texts) for number in row}

        assert ids and ids <= set(range(tokenizer.vocab_size))

    def test_encoding_adds_no_special_tokens(self, tokenizer: Tokenizer) -> None:
        special = {tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end, tokenizer.mask}

        assert not special & {number for row in tokenizer.encode(self.texts) for number in row}
        assert tokenizer.encode([""]) == [[]]

    def test_encoding_cuts_nothing_off(self, tokenizer: Tokenizer) -> None:
        short, long = tokenizer.encode([" ".join([self.texts[0]] * times) for times in (100, 2000)])

        assert len(long) >= 19 * len(short) > 0

    def test_decoding_undoes_encoding(self, tokenizer: Tokenizer) -> None:
        ids = tokenizer.encode(self.texts)
        decoded = tokenizer.decode(ids)

        assert tokenizer.encode(decoded) == ids
        if self.lossless:
            assert decoded == list(self.texts)

    def test_decoding_leaves_special_tokens_out(self, tokenizer: Tokenizer) -> None:
        (ids,) = tokenizer.encode(self.texts[:1])

        framed = [tokenizer.begin, *ids, tokenizer.end, tokenizer.pad, tokenizer.pad]

        assert tokenizer.decode([framed]) == tokenizer.decode([ids])

    def test_each_piece_of_a_sentence_knows_its_word(self, tokenizer: Tokenizer) -> None:
        sentences = [text.split() for text in self.texts]

        encoded = tokenizer.encode_words(sentences)

        for sentence, ids, words in zip(sentences, encoded.ids, encoded.words, strict=True):
            assert len(ids) == len(words)
            assert words == sorted(words)
            assert set(words) == set(range(len(sentence)))
        assert encoded.ids == tokenizer.encode([" ".join(sentence) for sentence in sentences])

    def test_special_tokens_have_ids_of_their_own(self, tokenizer: Tokenizer) -> None:
        special = [tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end]

        assert all(0 <= number < tokenizer.vocab_size for number in special)
        assert tokenizer.begin != tokenizer.unknown and tokenizer.end != tokenizer.unknown

    def test_what_is_saved_is_the_tokenizer(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        tokenizer.save(tmp_path)
        names = [str(tokenizer.backend.id_to_token(number)) for number in (tokenizer.pad, tokenizer.begin)]
        texts = [*self.texts, f"{self.texts[0]} {' '.join(names)}"]

        for loaded in (Tokenizer.load(tmp_path), pretrained_tokenizer(tmp_path)):
            assert loaded.encode(texts) == tokenizer.encode(texts)
            assert (loaded.pad, loaded.begin, loaded.end) == (tokenizer.pad, tokenizer.begin, tokenizer.end)
        assert replace(Tokenizer.load(tmp_path), backend=tokenizer.backend) == tokenizer

    def test_all_that_it_is_can_be_written_and_read(self, tokenizer: Tokenizer) -> None:
        written = tokenizer.to_json()

        assert Tokenizer.from_json(written).to_json() == written


class MetricContract:
    """Inherit, and give the component, the columns of predictions that it reads, some right and some wrong, and the
    references."""

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}
    labels: ClassVar[tuple[str, ...]] = ()
    predictions: ClassVar[Columns]
    references: ClassVar[Sequence[Any]]

    best: ClassVar[Columns | None] = None
    """Predictions that none can beat. By default the references themselves, as the column `prediction`."""

    def test_statistics_are_a_row_of_numbers_for_each_row(self) -> None:
        statistics = self._statistics()

        assert statistics.dtype == np.float64
        assert statistics.ndim == 2 and len(statistics) == len(self.references)
        assert np.isfinite(statistics).all()

    def test_a_rows_statistics_depend_on_it_alone(self) -> None:
        together = self._statistics()

        for row, reference in enumerate(self.references):
            columns = {name: [values[row]] for name, values in self.predictions.items()}
            alone = self._metric().statistics(columns, [reference])
            np.testing.assert_allclose(alone[0], together[row])

    def test_it_computes_the_measures_that_its_settings_name(self) -> None:
        assert set(self._computed(self.predictions)) == set(self._config().measures)

    def test_the_order_of_rows_does_not_matter(self) -> None:
        there, back = self._values(self._statistics()), self._values(self._statistics()[::-1])

        assert back == pytest.approx(there, nan_ok=True)

    def test_each_measure_is_a_number_or_undefined(self) -> None:
        for statistics in (self._statistics(), self._statistics()[:0]):
            values = self._values(statistics)

            assert all(isinstance(value, float) and not math.isinf(value) for value in values.values()), values

    def test_computing_leaves_the_statistics_alone(self) -> None:
        statistics = self._statistics()
        before = statistics.copy()

        self._values(statistics)

        np.testing.assert_array_equal(statistics, before)

    def test_what_cannot_be_beaten_is_not_beaten(self) -> None:
        ours, best = self._computed(self.predictions), self._computed(self.best or {PREDICTION: self.references})
        sign = 1 if self._config().direction == "max" else -1

        assert [name for name in ours if sign * ours[name] > sign * best[name] + 1e-9] == []

    def test_without_a_measure_there_is_a_table(self) -> None:
        metric = self._metric()
        if not self._config().measures:
            assert json.loads(json.dumps(metric.table(self._statistics().sum(0))))  # type: ignore[union-attr]

    def _config(self) -> MetricConfig:
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        assert isinstance(config, MetricConfig)
        return config

    def _metric(self) -> Metric:
        metric: Metric = build(self.component, self._config(), labels=self.labels)
        return metric

    def _statistics(self) -> NDArray[np.float64]:
        return self._metric().statistics(self.predictions, self.references)

    def _values(self, statistics: NDArray[np.float64]) -> Mapping[str, float]:
        """The measures of rows with these statistics, as lmkit asks the metric for them."""
        metric: Any = self._metric()
        values: Mapping[str, float] = (
            metric.compute_rows(statistics) if hasattr(metric, "compute_rows") else metric.compute(statistics.sum(0))
        )
        return values

    def _computed(self, predictions: Columns) -> Mapping[str, float]:
        return self._values(self._metric().statistics(predictions, self.references))


class ModelContract:
    """Inherit, and give the component, its settings for a small model, and the heads it can have.

    A model whose weights belong to one tokenizer overrides the `tokenizer` fixture.
    """

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}
    heads: ClassVar[Sequence[Head]] = (SequenceHead(_LABELS), TokenHead(_LABELS))

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        """Twenty words; 0 is padding, 1 unknown, 2 begins and 3 ends a text."""
        from tokenizers import Tokenizer as Backend
        from tokenizers.models import WordLevel

        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(4, 20))]
        backend = Backend(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
        return Tokenizer(backend, pad=0, unknown=1, begin=2, end=3)

    def test_logits_have_the_shape_of_the_head(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        batch = _batch(tokenizer)

        for head in self.heads:
            output = self._model(head, tokenizer, tmp_path)(batch)

            assert isinstance(output, Output)
            wanted = head.shape(batch)
            assert output.logits.ndim == len(wanted)
            assert all(size in (None, its) for size, its in zip(wanted, output.logits.shape, strict=True))
            assert output.logits.isfinite().all()

    def test_a_row_has_the_same_logits_alone_and_padded_among_others(
        self, tokenizer: Tokenizer, tmp_path: Path
    ) -> None:
        for head in self.heads:
            model = self._model(head, tokenizer, tmp_path).eval()
            together = model(_batch(tokenizer, padding=3)).logits

            for row in range(len(_ROWS)):
                alone = model(_batch(tokenizer, only=row)).logits[0]
                mine = together[row, : len(alone)] if alone.ndim > 1 else together[row]
                torch.testing.assert_close(alone, mine, atol=1e-4, rtol=1e-4)

    def test_evaluation_is_repeatable(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        for head in self.heads:
            model = self._model(head, tokenizer, tmp_path).eval()

            torch.testing.assert_close(model(_batch(tokenizer)).logits, model(_batch(tokenizer)).logits)

    def test_every_weight_that_is_trained_has_a_gradient(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        for head in self.heads:
            model = self._model(head, tokenizer, tmp_path).train()

            torch.autograd.backward(model(_batch(tokenizer)).logits.float().square().sum())

            trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
            assert [name for name, parameter in trained.items() if parameter.grad is None] == []

    def test_the_seed_alone_decides_the_first_weights(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        for head in self.heads:
            one, other = (self._model(head, tokenizer, tmp_path).state_dict() for _ in range(2))

            assert one.keys() == other.keys()
            assert [name for name in one if not torch.equal(one[name], other[name])] == []

    def test_a_model_opened_again_scores_as_it_did(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        from safetensors.torch import load_model, save_model

        for head in self.heads:
            model, folder = self._model(head, tokenizer, tmp_path).eval(), tmp_path / head.name
            folder.mkdir(exist_ok=True)
            save = getattr(model, "save", None)
            if save is not None:
                save(folder)
                assert list(folder.glob("*.safetensors"))
            else:
                save_model(model, str(folder / "model.safetensors"))

            opened = self._model(head, tokenizer, tmp_path, seed=1, saved=folder).eval()
            if save is None:
                load_model(opened, str(folder / "model.safetensors"))

            torch.testing.assert_close(model(_batch(tokenizer)).logits, opened(_batch(tokenizer)).logits)

    def test_a_text_written_token_by_token_is_scored_as_the_whole(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        head = next((head for head in self.heads if isinstance(head, Seq2SeqHead)), None)
        if head is None:
            return
        model: Any = self._model(head, tokenizer, tmp_path).eval()
        batch = _batch(tokenizer)
        whole, targets = model(batch).logits, batch["target_ids"]

        cache = model.encode(batch)
        for position in range(targets.shape[1] - 1):
            logits, cache = model.step(targets[:, position], cache)
            counts = targets[:, position] != tokenizer.pad
            torch.testing.assert_close(logits[counts], whole[counts, position], atol=1e-4, rtol=1e-4)

    def _model(
        self, head: Head, tokenizer: Tokenizer, folder: Path, seed: int = 0, saved: Path | None = None
    ) -> nn.Module:
        """Built with its first weights, or to be opened again from `saved`."""
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        torch.manual_seed(seed)
        model = build(
            self.component,
            config,
            tokenizer=tokenizer,
            target_tokenizer=tokenizer,
            head=head,
            features=None if saved else _features(tokenizer),
            folder=folder,
            saved=saved,
        )
        assert isinstance(model, nn.Module)
        return model


class SearchContract:
    """Inherit, and set the component; of the space only the first points are asked for.

    A search that learns from results sets `learns`: then its points have to get better, in both directions.
    """

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}
    learns: ClassVar[bool] = False

    space: ClassVar[Space] = Space(
        {"train.epochs": Integers(1, 3), "optimizer": Choice(({"use": "sgd", "lr": Choice((0.1, 0.01))}, "adamw"))}
    )

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_a_trial_has_the_same_settings_whenever_it_is_asked_for(self, direction: Direction) -> None:
        search, anew = self._search(direction), self._search(direction)

        for history in (History(), *self._histories(direction)):
            numbers = [len(history.finished) + len(history.running) + len(history.failed) + more for more in (0, 1, 0)]
            assert [search(each, history) for each in numbers] == [anew(each, history) for each in numbers]

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_the_settings_are_those_of_the_space_whatever_came_before(self, direction: Direction) -> None:
        search = self._search(direction)
        asked = [(number, History()) for number in range(MOST)]
        asked += [(number, history) for history in self._histories(direction) for number in (3, MOST)]

        for settings in (search(number, history) for number, history in asked):
            if settings is not None:
                assert settings.keys() == self.space.dimensions.keys()
                assert settings["train.epochs"] in (1, 2, 3)
                assert settings["optimizer"] in ("adamw", {"use": "sgd", "lr": 0.1}, {"use": "sgd", "lr": 0.01})

    def test_there_is_a_first_trial_and_after_the_end_none(self) -> None:
        search, finished = self._search("max"), list[Finished]()
        told = []
        for number in range(MOST):
            settings = search(number, History(tuple(finished)))
            told.append(settings is not None)
            finished += [] if settings is None else [Finished(number, settings, 0.5)]

        assert told[0]
        assert told == sorted(told, reverse=True)

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_what_came_before_stays_as_it_was(self, direction: Direction) -> None:
        search = self._search(direction)

        for history in self._histories(direction):
            before = copy.deepcopy(history)
            search(3, history)
            assert history == before

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_a_search_that_is_built_anew_before_each_trial_tries_the_same_points(self, direction: Direction) -> None:
        whole = self._trials(direction, _LINE, _height)
        killed = self._trials(direction, _LINE, _height, anew=True)

        assert killed == whole

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_a_search_that_learns_finds_the_right_end(self, direction: Direction) -> None:
        if not self.learns:
            return
        values = [value for _, value in self._trials(direction, _LINE, _height)]
        last = values[-max(1, len(values) // 4) :]
        mean = sum(last) / len(last)

        assert mean > 0.7 if direction == "max" else mean < 0.3, (
            f"{direction} of 0 to 1: the last trials reach {mean:.2f}"
        )

    def _histories(self, direction: Direction) -> Iterator[History]:
        """What may have come before a trial: results of all sizes, failures, and trials under way."""
        points = [point for number in range(6) if (point := self._search(direction)(number, History())) is not None]
        finished = [
            Finished(number, point, value) for number, (point, value) in enumerate(zip(points, _VALUES, strict=False))
        ]
        failed = [Failed(trial.number, trial.settings, "TrainingError: the loss is nan") for trial in finished]
        running = [Running(trial.number, trial.settings) for trial in finished]
        yield History(finished[:1])
        yield History(finished)
        yield History([Finished(trial.number, trial.settings, 0.5) for trial in reversed(finished)])
        yield History((), running)
        yield History((), (), failed)
        yield History(finished[:2], running[2:4], failed[4:])

    def _trials(
        self, direction: Direction, space: Space, objective: Callable[[Mapping[str, Any]], float], *, anew: bool = False
    ) -> list[tuple[Mapping[str, Any], float]]:
        """The trials of a sweep with two workers, of which every seventh fails. With `anew`, it is killed before each
        trial, so that the search is built again."""
        search = self._search(direction, space)
        finished, running, failed = list[Finished](), list[Running](), list[Failed]()
        found = []
        for number in range(MOST):
            search = self._search(direction, space) if anew else search
            settings = search(number, History(tuple(finished), tuple(running), tuple(failed)))
            if settings is None:
                break
            found.append((settings, objective(settings)))
            for trial in running:
                if trial.number % 7 == 6:
                    failed.append(Failed(trial.number, trial.settings, "ResourceError: memory ran out"))
                else:
                    finished.append(Finished(trial.number, trial.settings, objective(trial.settings)))
            running = [Running(number, settings)]
        return found

    def _search(self, direction: Direction, space: Space | None = None) -> Search:
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        offers = {"space": self.space if space is None else space, "seed": 0, "direction": direction}
        search: Search = build(self.component, config, **offers)
        return search


_VALUES = (0.5, 0.5, -1e9, 1e9, 0.0, 1e-12)

_LINE = Space({"position": Uniform(0.0, 1.0), "kind": Choice(("low", "high"))})
"""Where a search that learns has to find an end."""


def _height(settings: Mapping[str, Any]) -> float:
    """From 0 to 1, on average 0.5."""
    return 0.5 * float(settings["position"]) + (0.5 if settings["kind"] == "high" else 0.0)


MOST = 50
"""How many points of a search are looked at."""


class TrackerContract:
    """Inherit, and give the component; `settings` are those that the tests use beside `use`."""

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}

    def test_it_holds_nothing_before_the_first_row(self, run_folder: Path) -> None:
        assert self._started(run_folder).cursor() == 0

    def test_it_holds_the_rows_that_it_was_given(self, run_folder: Path) -> None:
        tracker = self._started(run_folder)
        tracker.log(self._rows(0, 2))
        assert tracker.cursor() == 2
        tracker.log(self._rows(2, 5))
        assert tracker.cursor() == 5

    def test_a_later_one_goes_on_where_one_that_finished_ended(self, run_folder: Path) -> None:
        first = self._started(run_folder)
        first.log(self._rows(0, 3))
        first.finish({"state": "failed"}, failed=True)

        second = self._started(run_folder)

        assert second.cursor() == 3
        second.log(self._rows(3, 4))
        second.finish({"test/accuracy": 0.5, "state": "finished"}, failed=False)
        assert self._started(run_folder).cursor() == 4

    def test_after_one_that_was_killed_a_later_one_says_what_it_has_to_be_given(self, run_folder: Path) -> None:
        killed = self._started(run_folder)
        killed.log(self._rows(0, 3))

        later = self._started(run_folder)

        held = later.cursor()
        assert 0 <= held <= 3
        later.log(self._rows(held, 6))
        assert later.cursor() == 6
        later.finish({}, failed=False)
        assert self._started(run_folder).cursor() == 6

    def test_the_same_one_can_be_started_again(self, run_folder: Path) -> None:
        tracker = self._started(run_folder)
        tracker.log(self._rows(0, 3))

        tracker.start(self._recipe())

        held = tracker.cursor()
        assert 0 <= held <= 3
        tracker.log(self._rows(held, 4))
        assert tracker.cursor() == 4

    def test_rows_may_lack_values_and_bring_new_ones(self, run_folder: Path) -> None:
        tracker = self._started(run_folder)

        tracker.log([{"step": 1, "epoch": 0, "stage": "train", "train/loss": None}])
        tracker.log([{"step": 1, "epoch": 0, "stage": "validation", "validation/accuracy": 0.5, "a word": "x"}])

        assert tracker.cursor() == 2

    def test_it_takes_tables_folders_and_results(self, run_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text("{}")
        tracker = self._started(run_folder)

        tracker.table("predictions/test", ["id", "text", "scores"], [[0, "good", [0.1, 0.9]], [1, None, None]])
        tracker.artifact("model", tmp_path / "model")
        tracker.finish({"test/accuracy": 0.5, "state": "finished"}, failed=False)

        assert self._started(run_folder).cursor() == 0  # none of these is a row

    def test_the_mirror_feeds_it_to_its_end(self, run_folder: Path) -> None:
        """The calls of a whole run, in their order: `finish` is the last."""
        writer = MetricsWriter(run_folder / METRICS)
        for row in self._rows(0, 3):
            writer.write(row["step"], row["epoch"], row["stage"], {"train/loss": row["train/loss"]})
        writer.close()
        (run_folder / RECIPE).write_text(json.dumps(self._recipe()))
        ended: dict[str, Any] = {"started": "2026-03-01T10:15:00Z", "seed": 0, "stages": ("train",)}
        write_record(run_folder, RunRecord(id=run_folder.name, name="films", state="finished", **ended))

        name = self.component.name
        feed_trackers(run_folder, [(name, self._built(run_folder))], lambda: False, patience=30, again=False)

        (account,) = read_accounts(run_folder)
        assert (account.error, account.complete, account.rows) == (None, True, 3)

    def test_it_imports_no_torch(self, run_folder: Path) -> None:
        module = self.component.load().__module__
        program = f"import {module}, sys; print(*{{'torch', 'transformers', 'pytorch_lightning'}} & set(sys.modules))"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)

        assert (run.returncode, run.stdout.split()) == (0, []), run.stderr

    @pytest.fixture
    def run_folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "20260301T101500Z-films-1f2e"
        (folder / "trackers").mkdir(parents=True)
        return folder

    def _built(self, run_folder: Path) -> Tracker:
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        offered = {"run_folder": run_folder, "run_name": "films", "folder": run_folder.parent, "insist": False}
        tracker: Tracker = build(self.component, config, **offered)
        return tracker

    def _started(self, run_folder: Path) -> Tracker:
        tracker = self._built(run_folder)
        tracker.start(self._recipe())
        return tracker

    def _recipe(self) -> dict[str, Any]:
        return {"name": "films", "seed": 0, "train": {"epochs": 2, "steps": None}, "metrics": [{"use": "accuracy"}]}

    def _rows(self, start: int, end: int) -> list[dict[str, Any]]:
        return [
            {"step": step, "epoch": 0, "stage": "train", "train/loss": 1 / (step + 1)} for step in range(start, end)
        ]


class OptimizerContract:
    """Inherit, and give the component and settings with which it gets somewhere in thirty steps."""

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}

    def test_it_holds_every_parameter_once(self) -> None:
        network, optimizer = self._trained(steps=0)

        held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]

        assert sorted(held) == sorted(map(id, network.parameters()))

    def test_its_rate_is_the_settings_so_that_a_scheduler_can_scale_it(self) -> None:
        _, optimizer = self._trained(steps=0)
        rate = getattr(self._config(), "lr", None)

        assert rate is None or {group["lr"] for group in optimizer.param_groups} == {rate}

    def test_a_step_moves_every_parameter_that_has_a_gradient_and_no_other(self) -> None:
        network, optimizer = self._trained(steps=0)
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        _backward(network, optimizer)
        network.get_parameter("0.bias").grad = None

        optimizer.step()

        moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
        assert moved == set(before) - {"0.bias"}

    def test_the_loss_falls(self) -> None:
        start, end = (_loss(self._trained(steps)[0]).item() for steps in (0, 30))

        assert end < start

    def test_it_goes_on_from_its_saved_state_as_if_it_had_never_stopped(self) -> None:
        network, optimizer = self._trained(steps=3)
        saved = io.BytesIO()
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, saved)
        self._go_on(network, optimizer)

        other, resumed = self._trained(steps=0)
        saved.seek(0)
        state = torch.load(saved, weights_only=True)
        other.load_state_dict(state["network"])
        resumed.load_state_dict(state["optimizer"])
        self._go_on(other, resumed)

        for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
            assert torch.equal(mine, theirs), "what an optimizer remembers belongs in its state and its groups"

    def _go_on(self, network: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
        torch.manual_seed(1)  # a run restores what is drawn from
        for _ in range(20):
            _step(network, optimizer)

    def _config(self) -> Any:
        return self.component.config.model_validate({"use": self.component.name, **self.settings})

    def _trained(self, steps: int) -> tuple[nn.Sequential, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1))
        optimizer = build(self.component, self._config(), model=network, parameters=list(network.named_parameters()))
        assert isinstance(optimizer, torch.optim.Optimizer)
        for _ in range(steps):
            _step(network, optimizer)
        return network, optimizer


class SchedulerContract:
    """Inherit, and give the component and settings of a schedule."""

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}

    def test_it_only_ever_scales_the_rates_down(self) -> None:
        optimizer, schedule = self._built()

        for rates in [_rates(optimizer), *self._taken(optimizer, schedule, 1, 20)]:
            assert all(0 <= rate <= peak for rate, peak in zip(rates, PEAKS, strict=True)), rates

    def test_it_goes_on_from_its_saved_state_as_if_it_had_never_stopped(self) -> None:
        optimizer, schedule = self._built()
        self._taken(optimizer, schedule, 1, 7)
        saved = io.BytesIO()
        torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, saved)
        whole = self._taken(optimizer, schedule, 8, 20)

        other, resumed = self._built()
        saved.seek(0)
        state = torch.load(saved, weights_only=True)
        other.load_state_dict(state["optimizer"])
        resumed.load_state_dict(state["schedule"])

        assert self._taken(other, resumed, 8, 20) == whole, "what a schedule remembers belongs in its state_dict()"

    def _built(self) -> tuple[torch.optim.Optimizer, Any]:
        groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": peak} for peak in PEAKS]
        optimizer = torch.optim.SGD(groups)
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        return optimizer, build(self.component, config, optimizer=optimizer, total_steps=20, direction="min")

    def _taken(self, optimizer: torch.optim.Optimizer, schedule: Any, first: int, last: int) -> list[list[float]]:
        """The rates after each of these steps; a schedule that watches a measure is given one that stops falling."""
        rates = []
        for step in range(first, last + 1):
            optimizer.step()
            watched = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
            schedule.step(*([max(1.0, 4.0 - step)] if watched else []))
            rates.append(_rates(optimizer))
        return rates


PEAKS = (0.25, 0.125)


def _rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


class PerturbationContract:
    """Inherit, and give the component and inputs of rows, of which it changes at least one."""

    component: ClassVar[Component]
    settings: ClassVar[Mapping[str, Any]] = {}
    rows: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"text": "I don't know why, but this is a film that nobody should miss."},
        {"text": "It is not the actors' fault!"},
        {"tokens": ["They", "do", "n't", "play", "in", "Birmingham", "."]},
        {"source": "Where is it?", "context": "It's by the quiet harbour."},
    )

    def test_it_changes_a_row(self) -> None:
        assert self._changed(self.rows) != list(self.rows)

    def test_a_row_is_changed_alike_in_any_order_and_beside_any_others(self) -> None:
        perturb, again = self._perturbation(), self._perturbation()
        forth = [perturb(row, number) for number, row in enumerate(self.rows)]
        back = [again(row, number) for number, row in reversed(list(enumerate(self.rows)))]

        assert forth == back[::-1]

    def test_no_common_chance_is_drawn_from(self) -> None:
        random.seed(0)
        np.random.seed(0)
        before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]

        self._changed(self.rows)

        assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]

    def test_the_row_that_it_is_given_stays_as_it_is(self) -> None:
        rows = copy.deepcopy(list(self.rows))

        self._changed(rows)

        assert rows == list(self.rows)

    def test_columns_their_types_and_the_number_of_words_stay(self) -> None:
        for row, changed in zip(self.rows, self._changed(self.rows), strict=True):
            assert changed.keys() == row.keys()
            for name, value in row.items():
                assert type(changed[name]) is type(value)
                assert isinstance(value, str) or len(changed[name]) == len(value)

    def test_what_holds_something_holds_something_afterwards(self) -> None:
        short: list[Mapping[str, Any]] = [{"text": "!"}, {"text": "a"}, {"tokens": ["."]}]

        for row in self._changed([*self.rows, *short]):
            assert all(any(word.strip() for word in value) for value in row.values()), row

    def test_nothing_is_made_of_nothing(self) -> None:
        empty: list[Mapping[str, Any]] = [{"text": ""}, {"tokens": []}]

        assert self._changed(empty) == empty

    def _perturbation(self) -> Perturbation:
        config = self.component.config.model_validate({"use": self.component.name, **self.settings})
        perturbation: Perturbation = build(self.component, config, seed=0)
        return perturbation

    def _changed(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        perturb = self._perturbation()
        return [perturb(row, number) for number, row in enumerate(rows)]


_ROWS = ((4, 5, 6, 7, 8), (9, 4), (10, 11, 5))
_TARGETS = ((6, 5), (8, 9, 10, 4), (7,))


def _features(tokenizer: Tokenizer) -> Features:
    """The rows as a task would encode them."""
    columns = {
        name: Ragged.from_lists([[tokenizer.begin, *row, tokenizer.end] for row in rows])
        for name, rows in (("input_ids", _ROWS), ("target_ids", _TARGETS))
    }
    return Features(columns, weight=np.ones(len(_ROWS), np.int64), cut=np.zeros(len(_ROWS), np.int64))


def _batch(tokenizer: Tokenizer, only: int | None = None, padding: int = 0) -> Batch:
    """The rows, or only one, framed by begin and end and padded at their end by so many ids more than needed."""
    chosen = range(len(_ROWS)) if only is None else [only]
    ids, targets = (
        _padded([[tokenizer.begin, *rows[row], tokenizer.end] for row in chosen], tokenizer.pad, padding)
        for rows in (_ROWS, _TARGETS)
    )
    lengths = torch.tensor([len(_ROWS[row]) + 2 for row in chosen])
    return {
        "input_ids": ids,
        "attention_mask": torch.arange(ids.shape[1]) < lengths[:, None],
        "target_ids": targets,
    }


def _padded(rows: Sequence[Sequence[int]], pad: int, padding: int) -> Tensor:
    """(B, T)."""
    length = max(map(len, rows)) + padding
    return torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows])


def _loss(network: nn.Sequential) -> Tensor:
    """The squared error of a linear function of fixed inputs."""
    inputs = torch.linspace(-1, 1, 64).reshape(16, 4).sin()
    wanted = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    loss: Tensor = (network(inputs) - wanted).square().mean()
    return loss


def _backward(network: nn.Sequential, optimizer: Any) -> None:
    loss = _loss(network)
    if getattr(optimizer, "needs_curvature", False):
        optimizer.measure_curvature(loss)
    torch.autograd.backward(loss)


def _step(network: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    _backward(network, optimizer)
    optimizer.step()

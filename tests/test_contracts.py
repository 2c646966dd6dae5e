"""The public contracts: kept by every built-in, and broken by what breaks them."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lmkit
from lmkit.catalog import BUILTIN
from lmkit.component import Component
from lmkit.kinds import KINDS
from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead
from lmkit.kinds.metric import Columns, MetricConfig
from lmkit.kinds.model import Batch, ModelConfig, Output
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.perturbation import Perturbation, PerturbationConfig
from lmkit.kinds.scheduler import SchedulerConfig
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.kinds.tracker import TrackerConfig
from lmkit.kinds.transform import Row, Transform, TransformConfig
from lmkit.plugins import load_plugins
from lmkit.testing.contracts import (
    OFFERS,
    MetricContract,
    ModelContract,
    OptimizerContract,
    PerturbationContract,
    PluginContract,
    SchedulerContract,
    SearchContract,
    TrackerContract,
    TransformContract,
)

BUILTINS = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small are slower on two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def builtin(kind: str, name: str) -> Component:
    return BUILTINS.find(kind, name).component


class TestBuiltins(PluginContract):
    module = "lmkit.builtin.plugin"


class TestStarter(PluginContract):
    module = "lmkit_starter.plugin"


class TestLowerCase(TransformContract):
    component = builtin("transform", "lower-case")
    idempotent = True


class TestUnicode(TransformContract):
    component = builtin("transform", "unicode")
    settings = {"form": "NFKC", "strip_accents": True, "strip_control": True}
    texts = ("ﬁne caf\u00e9", "cafe\u0301\x00", "ｆｕｌｌ", "Ω≈ç√", "")
    idempotent = True


class TestWhitespace(TransformContract):
    component = builtin("transform", "whitespace")
    texts = ("a\u00a0 b\r\n", "\ufeffa\u200bb", "\u3000", "", "a")
    idempotent = True


class TestStripHtml(TransformContract):
    component = builtin("transform", "strip-html")


class TestReplace(TransformContract):
    component = builtin("transform", "replace")
    settings = {"pattern": r"(\w)\w+", "replacement": r"\1."}


class TestStopWords(TransformContract):
    component = builtin("transform", "stop-words")
    settings = {"language": "english", "keep": ("not",)}
    idempotent = True


class TestCsvTracker(TrackerContract):
    component = builtin("tracker", "csv")


class TestTensorboard(TrackerContract):
    component = builtin("tracker", "tensorboard")


@pytest.mark.slow
class TestWandb(TrackerContract):
    component = builtin("tracker", "wandb")
    settings = {"mode": "offline"}


class Labels(MetricContract):
    labels = ("film", "book", "play")
    predictions = {"prediction": ("film", "book", "film", "play", "play")}
    references = ("film", "book", "book", "play", "film")


class TestAccuracy(Labels):
    component = builtin("metric", "accuracy")


class TestAccuracyOfTags(MetricContract):
    component = builtin("metric", "accuracy")
    labels = ("O", "B-PER", "I-PER")
    predictions = {"prediction": (["O", "B-PER"], ["O"], ["O", "O", "I-PER"])}
    references = (["O", "B-PER"], ["B-PER"], ["O", "B-PER", "I-PER"])


class TestPrecision(Labels):
    component = builtin("metric", "precision")
    settings = {"average": "weighted"}


class TestRecall(Labels):
    component = builtin("metric", "recall")


class TestF1(Labels):
    component = builtin("metric", "f1")
    settings = {"average": "micro"}


class TestMcc(Labels):
    component = builtin("metric", "mcc")


class TestBalancedAccuracy(Labels):
    component = builtin("metric", "balanced-accuracy")


class TestCohenKappa(Labels):
    component = builtin("metric", "cohen-kappa")
    settings = {"weights": "quadratic"}


class Probabilities(MetricContract):
    labels = ("film", "book", "play")
    predictions = {
        "probabilities": ([0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.5, 0.5, 0.0], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6])
    }
    references = ("film", "book", "book", "play", "film")
    best = {"probabilities": ([1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0])}


class TestLogLoss(Probabilities):
    component = builtin("metric", "log-loss")


class TestBrier(Probabilities):
    component = builtin("metric", "brier")


class TestCalibrationError(Probabilities):
    component = builtin("metric", "calibration-error")


class TestTopKAccuracy(Probabilities):
    component = builtin("metric", "top-k-accuracy")
    settings = {"k": 2}


class TestAuroc(Probabilities):
    component = builtin("metric", "auroc")


class TestAveragePrecision(Probabilities):
    component = builtin("metric", "average-precision")
    settings = {"label": "book"}


class TestConfusionMatrix(Labels):
    component = builtin("metric", "confusion-matrix")


class TestSpanF1(TestAccuracyOfTags):
    component = builtin("metric", "span-f1")


class Texts(MetricContract):
    predictions = {"prediction": ("le film est bon", "un livre", "la fin de la pi\u00e8ce est triste")}
    references = ("le film est bon", "un beau livre", "la fin de cette pi\u00e8ce est triste")


class TestBleu(Texts):
    component = builtin("metric", "bleu")


class TestBleuOfCharacters(Texts):
    component = builtin("metric", "bleu")
    settings = {"tokenize": "char", "lowercase": True}


class TestChrf(Texts):
    component = builtin("metric", "chrf")
    settings = {"word_order": 2}


class TestExactMatch(Texts):
    component = builtin("metric", "exact-match")


class TestTypos(PerturbationContract):
    component = builtin("perturbation", "typos")


class TestCase(PerturbationContract):
    component = builtin("perturbation", "case")


class TestPunctuation(PerturbationContract):
    component = builtin("perturbation", "punctuation")


class TestContractions(PerturbationContract):
    component = builtin("perturbation", "contractions")


class TestTransformerEncoder(ModelContract):
    component = builtin("model", "transformer-encoder")
    settings = {"layers": 1, "width": 16, "heads": 2}


class TestLstm(ModelContract):
    component = builtin("model", "lstm")
    settings = {"width": 8, "hidden": 8, "norm": "batch"}


class TestEncoderDecoder(ModelContract):
    component = builtin("model", "encoder-decoder")
    settings = {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2}
    heads = (Seq2SeqHead(),)


class TestAdam(OptimizerContract):
    component = builtin("optimizer", "adam")
    settings = {"lr": 0.01}


class TestAdamW(OptimizerContract):
    component = builtin("optimizer", "adamw")
    settings = {"lr": 0.01, "weight_decay": 0.1}


class TestSgd(OptimizerContract):
    component = builtin("optimizer", "sgd")
    settings = {"lr": 0.01, "nesterov": True, "weight_decay": 0.1}


class TestConstant(SchedulerContract):
    component = builtin("scheduler", "constant")
    settings = {"warmup": 0.3}


class TestLinear(SchedulerContract):
    component = builtin("scheduler", "linear")
    settings = {"warmup": 0.2}


class TestCosine(SchedulerContract):
    component = builtin("scheduler", "cosine")
    settings = {"warmup": 0.1, "floor": 0.1}


class TestInverseSqrt(SchedulerContract):
    component = builtin("scheduler", "inverse-sqrt")


class TestPlateau(SchedulerContract):
    component = builtin("scheduler", "plateau")


class TestGrid(SearchContract):
    component = builtin("search", "grid")


class TestRandom(SearchContract):
    component = builtin("search", "random")
    settings = {"trials": 20}


class TestSobol(SearchContract):
    component = builtin("search", "sobol")
    settings = {"trials": 20}


@pytest.mark.parametrize("kind", ["transform", "metric", "optimizer", "search", "tracker"])
def test_every_built_in_of_these_kinds_is_under_contract(kind: str) -> None:
    contracts = [cls for cls in globals().values() if isinstance(cls, type) and cls.__name__.startswith("Test")]
    covered = {component.name for cls in contracts if (component := getattr(cls, "component", None))}

    assert set(BUILTINS.names(kind)) <= covered


def test_what_the_contracts_offer_is_what_the_core_offers() -> None:
    offered: dict[str, set[str]] = {}
    for path in Path(lmkit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="build"), args=[ast.Constant(value=str(kind)), _]):
                    offered.setdefault(kind, set()).update(k.arg for k in node.keywords if k.arg)

    assert offered == {kind: set(names) for kind, names in OFFERS.items()}
    assert OFFERS.keys() == KINDS.keys()


# What follows breaks contracts, each in one way, and shows that the test which should notice does.


class CrookedConfig(MetricConfig):
    """Counts right predictions, with one thing crooked."""

    use: Literal["crooked"]

    fault: str = ""
    """What is wrong with it."""

    whole: bool = False
    """Whether it is computed from all rows instead of their sum."""


class Crooked:
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> NDArray[np.float64]:
        pairs = zip(predictions["prediction"], references, strict=True)
        right = np.array([[p == r, 1] for p, r in pairs], np.float64).reshape(-1, 2)
        if self.fault == "one sum for all":
            return right.sum(0, keepdims=True)
        if self.fault == "rows that know of others":
            return right / len(right)
        return right.astype(int) if self.fault == "whole numbers" else right

    def compute(self, total: NDArray[np.float64]) -> Mapping[str, float]:
        share = float(total[0] / total[1]) if total[1] else 0.0
        if self.fault == "another name":
            return {"accuracy": share}
        return {"crooked": 1 - share if self.fault == "wrong direction" else share}


class CrookedWhole(Crooked):
    """The same, of all rows at once."""

    def compute_rows(self, rows: NDArray[np.float64]) -> Mapping[str, float]:
        if self.fault == "changed statistics":
            rows += 1
        if self.fault == "a value of the first row":
            return {"crooked": float(rows[0, 0]) if len(rows) else 0.0}
        return {"crooked": float(rows[:, 0].mean()) if len(rows) else float("nan")}


def build_crooked(config: CrookedConfig) -> Crooked:
    return (CrookedWhole if config.whole else Crooked)(config.fault)


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("one sum for all", "test_statistics_are_a_row_of_numbers_for_each_row"),
        ("whole numbers", "test_statistics_are_a_row_of_numbers_for_each_row"),
        ("rows that know of others", "test_a_rows_statistics_depend_on_it_alone"),
        ("another name", "test_it_computes_the_measures_that_its_settings_name"),
        ("changed statistics", "test_computing_leaves_the_statistics_alone"),
        ("a value of the first row", "test_the_order_of_rows_does_not_matter"),
        ("wrong direction", "test_what_cannot_be_beaten_is_not_beaten"),
    ],
)
def test_the_contract_of_metrics_notices(fault: str, noticed_by: str) -> None:
    whole = fault in ("changed statistics", "a value of the first row")

    class Contract(Labels):
        component = Component(CrookedConfig, build=f"{__name__}:build_crooked")
        settings = {"fault": fault, "whole": whole}

    assert noticed(Contract(), noticed_by)
    Contract.settings = {"whole": whole}
    assert not noticed(Contract(), noticed_by)


class CrudeConfig(TransformConfig):
    """Leaves capitals out, with one thing crude."""

    use: Literal["crude"]

    fault: str = ""
    """What is wrong with it."""


class Crude:
    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.seen: set[str] = set()

    def __call__(self, row: Row) -> Row:
        if self.fault == "a column more":
            row = {**row, "length": str(len(row))}
        if self.fault == "words as one text":
            return {name: "".join(value) for name, value in row.items()}
        changed: Row = {}
        for name, value in row.items():
            if isinstance(value, list):
                words = [word for word in value if word] if self.fault == "words left out" else value
                if self.fault == "the given list":
                    value[:] = [word.lower() for word in value]
                    words = value
                changed[name] = [self._changed(word) for word in words]
            else:
                changed[name] = self._changed(value)
        return changed

    def _changed(self, text: str) -> str:
        if self.fault == "half a surrogate pair":
            return text + "\ud800"
        if self.fault == "each text once":
            new = text not in self.seen
            self.seen.add(text)
            return text if new else ""
        if self.fault == "an end that grows":
            return f"{text}."
        return "".join(character for character in text if not character.isupper())


def build_crude(config: CrudeConfig) -> Transform:
    return Crude(config.fault)


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("a column more", "test_a_row_keeps_its_columns_and_their_types"),
        ("words as one text", "test_a_row_keeps_its_columns_and_their_types"),
        ("words left out", "test_words_stay_as_many_as_their_tags"),
        ("the given list", "test_the_given_row_is_left_alone"),
        ("each text once", "test_a_row_is_changed_by_what_it_holds_alone"),
        ("half a surrogate pair", "test_texts_are_such_as_can_be_stored"),
        ("an end that grows", "test_twice_is_once_where_that_is_said"),
    ],
)
def test_the_contract_of_transforms_notices(fault: str, noticed_by: str) -> None:
    class Contract(TransformContract):
        component = Component(CrudeConfig, build=f"{__name__}:build_crude")
        settings = {"fault": fault}
        idempotent = True

    assert noticed(Contract(), noticed_by)
    Contract.settings = {}
    assert not noticed(Contract(), noticed_by)


class LeakyConfig(ModelConfig):
    """Scores the mean of a text's embeddings, with one thing leaky."""

    use: Literal["leaky"]

    fault: str = ""
    """What is wrong with it."""


class Leaky(nn.Module):
    def __init__(self, fault: str, size: int, labels: int) -> None:
        super().__init__()
        self.fault = fault
        self.embedding = nn.Embedding(size, 4)
        self.head = nn.Linear(4, labels + (fault == "a label too many"))
        self.unused = nn.Linear(4, 4) if fault == "weights without use" else None
        self.scale = torch.rand(()) if fault == "a state that is not saved" else torch.ones(())
        self.drawn = torch.from_numpy(np.random.default_rng().normal(size=())) if fault == "its own seed" else None
        if self.drawn is not None:
            nn.init.constant_(self.head.bias, float(self.drawn))

    def forward(self, batch: Batch) -> Output:
        mask = batch["attention_mask"][..., None].float()
        if self.fault == "padding counts":
            mask = torch.ones_like(mask)
        mean = (self.embedding(batch["input_ids"]) * mask).sum(1) / mask.sum(1)
        if self.fault == "rows see each other":
            mean = mean - mean.mean(0)
        if self.fault == "dropout for ever":
            mean = nn.functional.dropout(mean, 0.5, training=True)
        logits: Tensor = self.head(mean) * self.scale
        return Output(logits)


def build_leaky(config: LeakyConfig, *, tokenizer: Tokenizer, head: Head) -> Leaky:
    return Leaky(config.fault, tokenizer.vocab_size, len(head.labels))


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("a label too many", "test_logits_have_the_shape_of_the_head"),
        ("padding counts", "test_a_row_has_the_same_logits_alone_and_padded_among_others"),
        ("rows see each other", "test_a_row_has_the_same_logits_alone_and_padded_among_others"),
        ("dropout for ever", "test_evaluation_is_repeatable"),
        ("weights without use", "test_every_weight_that_is_trained_has_a_gradient"),
        ("its own seed", "test_the_seed_alone_decides_the_first_weights"),
        ("a state that is not saved", "test_a_model_opened_again_scores_as_it_did"),
    ],
)
def test_the_contract_of_models_notices(fault: str, noticed_by: str, tmp_path: Path) -> None:
    class Contract(ModelContract):
        component = Component(LeakyConfig, build=f"{__name__}:build_leaky")
        settings = {"fault": fault}
        heads = (SequenceHead(("no", "yes", "maybe")),)

    tokenizer = Contract.tokenizer.__wrapped__(Contract())  # type: ignore[attr-defined]
    assert noticed(Contract(), noticed_by, tokenizer, tmp_path)
    Contract.settings = {}
    assert not noticed(Contract(), noticed_by, tokenizer, tmp_path)


class ForgetfulConfig(TrackerConfig):
    """Counts rows in a file, with one thing forgotten."""

    use: Literal["forgetful"]

    fault: str = ""
    """What is wrong with it."""


class Forgetful:
    def __init__(self, fault: str, run_folder: Path) -> None:
        self.fault = fault
        self.count = run_folder / "count"
        self.rows = 0

    def start(self, config: Mapping[str, Any]) -> None:
        self.rows = int(self.count.read_text()) if self.count.exists() and self.fault != "what it held" else 0

    def cursor(self) -> int:
        return 0 if self.fault == "what it was given" else self.rows

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.fault == "rows of other columns" and any("train/loss" not in row for row in rows):
            return
        self.rows += len(rows)
        self.count.write_text(str(self.rows))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if self.fault == "that a table is no row":
            self.count.write_text(str(self.rows + len(rows)))

    def artifact(self, name: str, folder: Path) -> None: ...

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        if self.fault != "that a table is no row":
            self.count.write_text(str(self.rows))


def build_forgetful(config: ForgetfulConfig, run_folder: Path) -> Forgetful:
    return Forgetful(config.fault, run_folder)


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("what it held", "test_a_later_one_goes_on_where_one_that_finished_ended"),
        ("what it was given", "test_it_holds_the_rows_that_it_was_given"),
        ("rows of other columns", "test_rows_may_lack_values_and_bring_new_ones"),
    ],
)
def test_the_contract_of_trackers_notices(fault: str, noticed_by: str, tmp_path: Path) -> None:
    class Contract(TrackerContract):
        component = Component(ForgetfulConfig, build=f"{__name__}:build_forgetful")
        settings = {"fault": fault}

    (tmp_path / "wrong").mkdir()
    assert noticed(Contract(), noticed_by, tmp_path / "wrong")
    Contract.settings = {}
    assert not noticed(Contract(), noticed_by, tmp_path)


def test_the_contract_of_trackers_notices_a_table_that_is_taken_for_rows(tmp_path: Path) -> None:
    class Contract(TrackerContract):
        component = Component(ForgetfulConfig, build=f"{__name__}:build_forgetful")
        settings = {"fault": "that a table is no row"}

    assert noticed(Contract(), "test_it_takes_tables_folders_and_results", tmp_path, tmp_path)


class LazyConfig(OptimizerConfig):
    """SGD with one thing amiss."""

    use: Literal["lazy"]

    lr: float = 0.01
    """Learning rate."""

    fault: str = ""
    """What is wrong with it."""


class Lazy(torch.optim.SGD):
    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return state | {"state": {}}


class Counting(torch.optim.SGD):
    """Steps the other way at each tenth step, by a count that its state lacks."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        for group in self.param_groups:
            group["maximize"] = self.steps % 10 == 0
        return super().step(closure)


def build_lazy(config: LazyConfig, *, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    mine = [parameter for _, parameter in parameters]
    if config.fault == "no biases":
        mine = [parameter for parameter in mine if parameter.ndim > 1]
    lr = config.lr / 2 if config.fault == "half the rate" else config.lr
    kind = {"a state that is lost": Lazy, "a count of its own": Counting}.get(config.fault, torch.optim.SGD)
    return kind(mine, lr=lr, momentum=0.9, maximize=config.fault == "uphill")


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("no biases", "test_it_holds_every_parameter_once"),
        ("no biases", "test_a_step_moves_every_parameter_that_has_a_gradient_and_no_other"),
        ("half the rate", "test_its_rate_is_the_settings_so_that_a_scheduler_can_scale_it"),
        ("uphill", "test_the_loss_falls"),
        ("a state that is lost", "test_it_goes_on_from_its_saved_state_as_if_it_had_never_stopped"),
        ("a count of its own", "test_it_goes_on_from_its_saved_state_as_if_it_had_never_stopped"),
    ],
)
def test_the_contract_of_optimizers_notices(fault: str, noticed_by: str) -> None:
    class Contract(OptimizerContract):
        component = Component(LazyConfig, build=f"{__name__}:build_lazy")
        settings = {"fault": fault}

    assert noticed(Contract(), noticed_by)
    Contract.settings = {}
    assert not noticed(Contract(), noticed_by)


class HastyConfig(SchedulerConfig):
    """A rate that is halved at each fifth step, with one thing amiss."""

    use: Literal["hasty"]

    fault: str = ""
    """What is wrong with it."""


class Hasty(torch.optim.lr_scheduler.LRScheduler):
    fault = ""

    def get_lr(self) -> list[float | torch.Tensor]:
        factor = 2.0 if self.fault == "that it rises" else 0.5
        return [group["lr"] * (factor if self.last_epoch % 5 == 4 else 1) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {} if self.fault == "a state that is lost" else super().state_dict()


def build_hasty(config: HastyConfig, *, optimizer: torch.optim.Optimizer) -> Hasty:
    schedule = Hasty(optimizer)
    schedule.fault = config.fault
    return schedule


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("that it rises", "test_it_only_ever_scales_the_rates_down"),
        ("a state that is lost", "test_it_goes_on_from_its_saved_state_as_if_it_had_never_stopped"),
    ],
)
def test_the_contract_of_schedules_notices(fault: str, noticed_by: str) -> None:
    class Contract(SchedulerContract):
        component = Component(HastyConfig, build=f"{__name__}:build_hasty")
        settings = {"fault": fault}

    assert noticed(Contract(), noticed_by)
    Contract.settings = {}
    assert not noticed(Contract(), noticed_by)


class SloppyConfig(PerturbationConfig):
    """Ends texts with a mark, with one thing sloppy."""

    use: Literal["sloppy"]

    fault: str = ""
    """What is wrong with it."""


def build_sloppy(config: SloppyConfig, *, seed: int) -> Perturbation:
    called = [0]

    def perturb(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        called[0] += 1
        if config.fault == "in place":
            assert isinstance(row, dict)
            row |= {name: value + "!" for name, value in row.items() if isinstance(value, str)}
        changed = {name: value + "!" if isinstance(value, str) and value else value for name, value in row.items()}
        for name, value in changed.items():
            if isinstance(value, list):
                changed[name] = value[: -1 if config.fault == "a word is lost" else None]
                continue
            changed[name] = {
                "counts its calls": f"{value} {called[0]}",
                "texts are lost": "",
                "something of nothing": value or "nothing",
            }.get(config.fault, value)
        if config.fault == "common chance":
            random.random()
        if config.fault == "a column is lost":
            changed.popitem()
        return dict(row) if config.fault == "nothing changes" else changed

    return perturb


@pytest.mark.parametrize(
    ("fault", "noticed_by"),
    [
        ("nothing changes", "test_it_changes_a_row"),
        ("counts its calls", "test_a_row_is_changed_alike_in_any_order_and_beside_any_others"),
        ("common chance", "test_no_common_chance_is_drawn_from"),
        ("in place", "test_the_row_that_it_is_given_stays_as_it_is"),
        ("a column is lost", "test_columns_their_types_and_the_number_of_words_stay"),
        ("a word is lost", "test_columns_their_types_and_the_number_of_words_stay"),
        ("texts are lost", "test_what_holds_something_holds_something_afterwards"),
        ("something of nothing", "test_nothing_is_made_of_nothing"),
    ],
)
def test_the_contract_of_perturbations_notices(fault: str, noticed_by: str) -> None:
    class Contract(PerturbationContract):
        component = Component(SloppyConfig, build=f"{__name__}:build_sloppy")
        settings = {"fault": fault}

    assert noticed(Contract(), noticed_by)
    Contract.settings = {}
    assert not noticed(Contract(), noticed_by)


PLUGIN = '''
from typing import Literal
from lmkit import Component, hookimpl
from lmkit.kinds.optimizer import OptimizerConfig

class LionConfig(OptimizerConfig):
    """Sign-momentum optimizer."""

    use: Literal["lion"]

    lr: float = 1e-4
    """Learning rate."""

@hookimpl
def provide_optimizers():
    return [Component(LionConfig, build="{module}:lion")]

def lion(config, *, parameters):
    pass
'''


@pytest.mark.parametrize(
    ("edit", "noticed_by"),
    [
        (("@hookimpl", ""), "test_it_provides_components_or_listens_to_runs"),
        (("from typing import", "import torch\nfrom typing import"), "test_importing_it_imports_nothing_heavy"),
        (("from typing import", "import transformers\nfrom typing import"), "test_importing_it_imports_nothing_heavy"),
        (("from typing import", "import wandb\nfrom typing import"), "test_importing_it_imports_nothing_heavy"),
        (
            ("from typing import", "import pytorch_lightning\nfrom typing import"),
            "test_importing_it_imports_nothing_heavy",
        ),
        (('Literal["lion"]', 'Literal["Lion_2"]'), "test_names_are_kebab_case"),
        (('    """Learning rate."""', ""), "test_every_component_and_every_setting_is_explained"),
        (('    """Sign-momentum optimizer."""', ""), "test_every_component_and_every_setting_is_explained"),
        (('use: Literal["lion"]', 'use: Literal["lion"] = "lion"'), "test_use_has_no_default"),
        (("*, parameters", "*, moon"), "test_every_builder_asks_for_what_its_kind_offers"),
    ],
)
def test_the_contract_of_plugins_notices(
    edit: tuple[str, str],
    noticed_by: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    light_stand_ins: Callable[[], None],
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    light_stand_ins()
    name = tmp_path.name  # modules of other tests have other names
    for module, source in ((name, PLUGIN.replace(*edit)), (f"{name}_sound", PLUGIN)):
        (tmp_path / f"{module}.py").write_text(source.replace("{module}", module))

    class Contract(PluginContract):
        module = name

    assert noticed(Contract(), noticed_by)
    Contract.module = f"{name}_sound"
    assert not noticed(Contract(), noticed_by)


@pytest.fixture
def light_stand_ins(tmp_path: Path) -> Callable[[], None]:
    """Empty modules in place of the heavy ones, for the contract's own interpreter: what counts is their name."""

    def write() -> None:
        for module in ("torch", "transformers", "wandb", "pytorch_lightning"):
            (tmp_path / f"{module}.py").write_text("")

    return write


def noticed(contract: Any, test: str, *given: Any) -> bool:
    """Whether a test of a contract fails."""
    try:
        getattr(contract, test)(*given)
    except AssertionError:
        return True
    return False

"""Wrong components: whatever one raises or returns is reported with its plugin, its name and its line, by code 4."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkit import load_recipe, open_run, run_recipe
from lmkit.api.reading import read_sweep_of
from lmkit.cli.main import main
from lmkit.errors import DataError, PluginError, RecipeError
from lmkit.kinds.search import History
from lmkit.plugins import installed_plugins
from lmkit.plugins.installed import add_plugin_file
from lmkit.sweep.searching import build_search
from lmkit.workers.answered import AnsweredTracker

WRONG = """
import os
from typing import Literal

from lmkit import Component, hookimpl
from lmkit.errors import DataError
from lmkit.kinds.data import DataConfig
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.heads import SequenceHead
from lmkit.kinds.model import ModelConfig, Output
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.scheduler import SchedulerConfig
from lmkit.kinds.search import SearchConfig
from lmkit.kinds.task import Column, Features, Field, Ragged, TaskConfig
from lmkit.kinds.tokenizer import Tokenizer, TokenizerConfig
from lmkit.kinds.tracker import TrackerConfig
from lmkit.kinds.transform import TransformConfig


def config(base, name, **more):
    fields = {"__annotations__": {"use": Literal[name], "wrong": str}, "wrong": "", "__module__": __name__, **more}
    return type(f"{name.title()}Config", (base,), fields)


class Source:
    def __init__(self, config):
        self.wrong = config.wrong

    def fingerprint(self):
        if self.wrong == "fingerprint raises":
            raise KeyError("rows")  # fingerprint raises
        return 7 if self.wrong == "a number as fingerprint" else self.wrong

    def load(self):
        import pyarrow as pa

        rows = [{"text": f"a {word} film {n}", "label": word} for n in range(20) for word in ("good", "bad")]
        match self.wrong:
            case "load raises":
                raise ConnectionError("no server")  # load raises
            case "refuses on purpose":
                raise DataError("the server has no rows today")
            case "a list of rows":
                return rows
            case "splits as lists":
                return {"train": rows}
            case "stops":
                raise KeyboardInterrupt
            case "no memory":
                raise MemoryError
        return pa.Table.from_pylist(rows)


def build_source(config):
    if config.wrong == "not built":
        return None
    if config.wrong == "builder raises":
        raise ValueError("no luck")  # builder raises
    if config.wrong == "builder exits":
        raise SystemExit(3)  # builder exits
    return Source if config.wrong == "a class" else Source(config) if config.wrong != "a text" else "rows"


def build_transform(config):
    def change(row):
        match config.wrong:
            case "raises":
                raise ZeroDivisionError("by 0")  # raises
            case "nothing":
                return None
            case "a number":
                return {name: 3 for name in row}
            case "another column":
                return {"other": "x"}
        return row

    return None if config.wrong == "not built" else change


class Odd(Tokenizer):
    def encode(self, texts):
        return self.extras["encode"](texts)


def build_tokenizer(config, *, texts):
    import tokenizers

    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[P]": 0, "[U]": 1, "[B]": 2, "[E]": 3}, "[U]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    whole = Tokenizer(backend, 0, 1, 2, 3)

    class Wrong(Tokenizer):
        def encode(self, texts):
            match config.wrong:
                case "encode raises":
                    raise RuntimeError("no ids")  # encode raises
                case "texts":
                    return [text.split() for text in texts]
                case "too few":
                    return [[1]]
                case "unknown ids":
                    return [[99] for _ in texts]
            return super().encode(texts)

    if config.wrong == "a backend":
        return backend
    return Wrong(backend, 0, 1, 2, 3)


def classifier(base):
    class Task:
        def __init__(self, config, labels):
            self.wrong = config.wrong
            self.head = "two classes" if self.wrong == "a text as head" else SequenceHead(labels)
            ids = Field(None if self.wrong == "no padding" else "pad", is_length=True, masks="attention_mask")
            self.fields = {"input_ids": ids, "labels": Field()}
            self.labels = list(labels)

        def encode(self, rows, tokenizer, target_tokenizer):
            import numpy as np

            if self.wrong == "encode raises":
                raise IndexError("out")  # encode raises
            ids = Ragged.from_lists([ids[:8] + [tokenizer.end] for ids in tokenizer.encode(rows["text"].to_pylist())])
            count = rows.num_rows - (self.wrong == "fewer weights")
            columns = {"input_ids": ids}
            if "label" in rows.column_names:
                columns["labels"] = np.array([self.labels.index(one) for one in rows["label"].to_pylist()])
            if self.wrong == "labels as texts":
                columns["labels"] = np.array(rows["label"].to_pylist())
            if self.wrong == "negative ids":
                columns["input_ids"] = Ragged(ids.values - 9, ids.offsets)
            weight = np.ones(count, np.int64)
            return columns if self.wrong == "a dict" else Features(columns, weight, np.zeros(rows.num_rows, np.int64))

        def loss(self, output, batch):
            from torch.nn.functional import cross_entropy

            if self.wrong == "loss raises":
                raise AttributeError("no loss")  # loss raises
            each = cross_entropy(output.logits, batch["labels"], reduction="none")
            match self.wrong:
                case "a loss for each row":
                    return each
                case "loss as a number":
                    return float(each.sum())
                case "loss without gradient":
                    return each.sum().detach()
            return each.sum()

        def predict(self, model, output, batch):
            chosen = [self.labels[place] for place in output.logits.argmax(-1).tolist()]
            match self.wrong:
                case "predict raises":
                    raise LookupError("no answer")  # predict raises
                case "fewer predictions":
                    return {"prediction": chosen[1:]}
                case "a list of predictions":
                    return chosen
                case "tensors":
                    return {"prediction": list(output.logits.argmax(-1))}
                case "a short column":
                    return {"prediction": chosen, "score": [1.0]}
            return {"prediction": chosen}

        def references(self, rows):
            if self.wrong == "references raise":
                raise KeyError("labels")  # references raise
            return 3 if self.wrong == "a number as references" else rows["label"].to_pylist()

        def baselines(self, train, rows):
            return {"none": []} if self.wrong == "empty baselines" else {}

    return Task


def build_task(config, *, labels):
    return object() if config.wrong == "an object" else classifier(object)(config, labels)


def build_model(config, *, head):
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(500, len(head.labels))

        def forward(self, batch):
            logits = self.embed(batch["input_ids"]).mean(1)
            if os.environ.get("LMKIT_TEST_BREAKS"):
                raise TypeError("not today")
            match config.wrong:
                case "raises":
                    raise TypeError("no batch")  # raises
                case "inside torch":
                    logits = logits @ torch.zeros(7, 7)  # inside torch
                case "only logits":
                    return logits
                case "one class":
                    return Output(logits[:, :1])
                case "a row less":
                    return Output(logits[1:])
                case "a score for each token":
                    return Output(self.embed(batch["input_ids"]))
                case "lists":
                    return Output(logits.tolist())
            return Output(logits)

    if config.wrong == "a function":
        return lambda batch: None
    if config.wrong == "not built":
        return None
    return Model()


class Window:
    pass


def build_optimizer(config, *, parameters):
    import torch

    weights = [weight for _, weight in parameters]

    class Wrong(torch.optim.SGD):
        def step(self, closure=None):
            match config.wrong:
                case "raises":
                    raise ArithmeticError("step")  # raises
                case "no closure":
                    return None
                case "an object in its state":
                    self.state[weights[0]]["window"] = Window()
                case "no step":
                    return closure()
                case "rate is nan":
                    self.param_groups[0]["lr"] = float("nan")
                case "rate is a text":
                    self.param_groups[0]["lr"] = "fast"
            return super().step(closure)

    if config.wrong == "weights alone":
        return weights
    if config.wrong == "other weights":
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    return Wrong(weights, lr=0.1)


def build_scheduler(config, *, optimizer, total_steps):
    import torch
    from torch.optim.lr_scheduler import LambdaLR

    def scale(step):
        if config.wrong == "raises later" and step > 1:
            raise OverflowError("scale")  # raises later
        return float("inf") if config.wrong == "infinite" and step > 1 else 1.0

    if config.wrong == "a function":
        return scale
    if config.wrong == "another optimizer":
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    return LambdaLR(optimizer, scale)


class Metric:
    def __init__(self, config):
        self.wrong = config.wrong

    def statistics(self, predictions, references):
        import numpy as np

        match self.wrong:
            case "statistics raise":
                raise BufferError("full")  # statistics raise
            case "a list":
                return [[1.0]] * len(references)
            case "one row":
                return np.ones((1, 2))
            case "no second dimension":
                return np.ones(len(references))
            case "texts":
                return np.array([["right"]] * len(references))
        return np.array([[a == b, 1] for a, b in zip(predictions["prediction"], references)], float).reshape(-1, 2)

    def compute(self, total):
        match self.wrong:
            case "compute raises":
                raise ZeroDivisionError("of nothing")  # compute raises
            case "a text":
                return {"wrong_metric": "good"}
            case "another name":
                return {"accuracy": 1.0}
            case "a number":
                return 0.5
        return {"wrong_metric": total[0] / total[1]}

    def table(self, total):
        return {"seen": {1, 2}} if self.wrong == "a set in the table" else {"seen": total.tolist()}


def build_search(config, *, space, seed):
    def search(number, history):
        match config.wrong:
            case "raises":
                raise StopIteration("no more")  # search raises
            case "a list":
                return [1]
            case "other settings":
                return {"train.epochs": 2}
            case "settings of numpy":
                import numpy as np

                return {"train.steps": np.int64(2)}
            case "infinite":
                return {"train.steps": float("inf")}
        return {"train.steps": 1 + number} if number < 2 else None

    return 7 if config.wrong == "a number" else search


class Tracker:
    def __init__(self, config):
        self.wrong = config.wrong

    def cursor(self):
        return "0" if self.wrong == "a text as cursor" else 0

    def log(self, *arguments, **named):
        raise TimeoutError("no server")  # log raises

    start = table = artifact = finish = log


@hookimpl
def provide_searches():
    return [Component(config(SearchConfig, "wrong-search"), build=build_search)]


@hookimpl
def provide_trackers():
    return [Component(config(TrackerConfig, "wrong-tracker"), build=Tracker)]


@hookimpl
def provide_data():
    return [Component(config(DataConfig, "wrong-data"), build=build_source)]


@hookimpl
def provide_transforms():
    return [Component(config(TransformConfig, "wrong-transform"), build=build_transform)]


@hookimpl
def provide_tokenizers():
    return [Component(config(TokenizerConfig, "wrong-tokenizer"), build=build_tokenizer)]


@hookimpl
def provide_tasks():
    columns = (Column("text", "text", "input"), Column("label", "label", "target"))
    more = {"columns": columns, "metrics": ("accuracy",), "head_type": SequenceHead, "answer": "a label"}
    return [Component(config(TaskConfig, "wrong-task", **more), build=build_task)]


@hookimpl
def provide_models():
    return [Component(config(ModelConfig, "wrong-model"), build=build_model)]


@hookimpl
def provide_optimizers():
    return [Component(config(OptimizerConfig, "wrong-optimizer"), build=build_optimizer)]


@hookimpl
def provide_schedulers():
    return [Component(config(SchedulerConfig, "wrong-scheduler"), build=build_scheduler)]


@hookimpl
def provide_metrics():
    return [Component(config(MetricConfig, "wrong-metric"), build=Metric)]
"""

RECIPE = """\
name: wrong
data: {use: wrong-data, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
transforms: [wrong-transform]
task: wrong-task
tokenizer: wrong-tokenizer
model: wrong-model
optimizer: wrong-optimizer
scheduler: wrong-scheduler
metrics: [wrong-metric]
train: {steps: 4, batch_size: 8, log_every: 1, threads: 1, accelerator: cpu, precision: 32,
  checkpoint: {every: {steps: 2}}}
evaluate: {resamples: 10, batch_size: 8}
"""

RAISED = {
    "data": ["builder raises", "builder exits", "fingerprint raises", "load raises"],
    "transform": ["raises"],
    "tokenizer": ["encode raises"],
    "task": ["encode raises", "loss raises", "predict raises", "references raise"],
    "model": ["raises", "inside torch"],
    "optimizer": ["raises"],
    "scheduler": ["raises later"],
    "metric": ["statistics raise", "compute raises"],
}
"""Of each kind, what raises an error: a line of the plugin that ends with these words as a comment."""

RETURNED = {
    ("data", "not built"): "was built as None",
    ("data", "a text"): "was built as a str, which has no method `fingerprint`",
    ("data", "a class"): "Source.load() missing 1 required positional argument: 'self'",
    ("data", "a number as fingerprint"): "`fingerprint` returned 7; expected a text",
    ("data", "a list of rows"): "`load` returned the list [{'text': 'a good film 0'",
    ("data", "splits as lists"): "expected an Arrow table, or a mapping of split to Arrow table",
    ("transform", "not built"): "was built as None",
    ("transform", "nothing"): "gave a NoneType, not text,",
    ("transform", "a number"): "gave a int, not a text, for 'text'",
    ("transform", "another column"): "gave other, not text,",
    ("tokenizer", "a backend"): "was built as a Tokenizer, not a lmkit.kinds.tokenizer.Tokenizer",
    ("tokenizer", "texts"): "encoded a text as the list ['a', ",
    ("tokenizer", "too few"): "encoded 3 texts as the list [[1]]; expected as many lists",
    ("tokenizer", "unknown ids"): "encoded a text with the id 99, which no token of its vocabulary has",
    ("task", "an object"): "was built as a object, which has no method `encode`",
    ("task", "a text as head"): "has the str 'two classes' as its `head`",
    ("task", "no padding"): "returned lists `input_ids`, and its field does not say what fills them, in `encode`",
    ("task", "a dict"): "expected lmkit.kinds.task.Features, in `encode`",
    ("task", "fewer weights"): "returned 23 values of `weight` for 24 rows, in `encode`",
    ("task", "labels as texts"): "returned a column `labels` of <U4; expected whole numbers, in `encode`",
    ("task", "negative ids"): "returned the id -8 in `input_ids`; ids begin at 0, in `encode`",
    ("task", "a loss for each row"): "returned a Tensor of shape (8,) and type torch.float32; expected a scalar",
    ("task", "loss as a number"): "expected a scalar in float32, in `loss`",
    ("task", "loss without gradient"): "returned a number that has no gradient",
    ("task", "fewer predictions"): "returned 7 values of `prediction` for 8 rows, in `predict`",
    ("task", "a list of predictions"): "expected columns, one `prediction`, in `predict`",
    ("task", "tensors"): "returned a Tensor in `prediction`; expected numbers, texts or lists, in `predict`",
    ("task", "a short column"): "returned 1 values of `score` for 8 rows, in `predict`",
    ("task", "a number as references"): "returned 3; expected a list, in `references`",
    ("task", "empty baselines"): "returned 0 values for 8 rows, in `baselines`",
    ("model", "not built"): "was built as None",
    ("model", "a function"): "was built as a function, not a torch.nn.Module",
    ("model", "only logits"): "returned a Tensor; expected a lmkit.kinds.model.Output with logits, in `forward`",
    ("model", "lists"): "returned an Output with the list [[",
    ("model", "one class"): "returned logits of shape (8, 1); its sequence head needs (8, 2), in `forward`",
    ("model", "a row less"): "returned logits of shape (7, 2); its sequence head needs (8, 2), in `forward`",
    ("model", "a score for each token"): "its sequence head needs (8, 2), in `forward`",
    ("optimizer", "weights alone"): "was built as a list, not one of torch's",
    ("optimizer", "other weights"): "holds none of the weights that it was given as `parameters`",
    ("optimizer", "no closure"): "did not call the closure that computes the gradients",
    ("optimizer", "no step"): "moved no weight in 4 steps",
    ("optimizer", "rate is a text"): "left the learning rate 'fast', which is not a finite number",
    ("optimizer", "an object in its state"): "keeps a Window as state[0]['window'], which a checkpoint cannot be read",
    ("scheduler", "a function"): "was built as a function, not one of torch's LR schedulers",
    ("scheduler", "another optimizer"): "scales another optimizer than the one it was given",
    ("scheduler", "infinite"): "left the learning rate inf, which is not a finite number",
    ("metric", "a list"): "expected an array of numbers, in `statistics`",
    ("metric", "one row"): "returned an array of shape (1, 2); expected (8, K), a row for each example",
    ("metric", "no second dimension"): "returned an array of shape (8,); expected (8, K)",
    ("metric", "texts"): "expected an array of numbers, in `statistics`",
    ("metric", "a text"): "returned the str 'good' as 'wrong_metric'; expected a number, in `compute`",
    ("metric", "another name"): "expected a mapping with wrong_metric, in `compute`",
    ("metric", "a number"): "returned 0.5; expected a mapping with wrong_metric, in `compute`",
    ("metric", "a set in the table"): "returned a table that is no JSON: Object of type set",
}
"""Of each kind, what returns something wrong, and what is said of it."""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "wrong.py").write_text(WRONG)
    (folder / "wrong.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMKIT_PLUGINS", "")
        add_plugin_file(folder / "wrong.py")
        yield folder / "wrong.py"


def run(plugin: Path, runs: Path, kind: str = "", wrong: str = "") -> Any:
    """Run the recipe with one component that does something wrong."""
    key = {"transform": "transforms", "metric": "metrics"}.get(kind, kind)
    block = json.dumps({"use": f"wrong-{kind}", "wrong": wrong})
    if kind == "data":
        overrides = [f"data.wrong={json.dumps(wrong)}"]
    else:
        overrides = [f"{key}=[{block}]" if key in ("transforms", "metrics") else f"{key}={block}"] if kind else []
    recipe = load_recipe(plugin.with_suffix(".yaml"), overrides)
    return run_recipe(recipe, base=plugin.parent, runs=runs)


def test_without_a_fault_the_plugin_trains(plugin: Path, tmp_path: Path) -> None:
    result = run(plugin, tmp_path).record

    assert (result.state, result.results["test"].rows) == ("finished", 8)


@pytest.mark.parametrize(("kind", "wrong"), [(kind, wrong) for kind, each in RAISED.items() for wrong in each])
def test_an_error_is_reported_with_plugin_component_and_line(
    plugin: Path, tmp_path: Path, kind: str, wrong: str
) -> None:
    begin = WRONG.index(f"def build_{kind}") if f"def build_{kind}" in WRONG else 0
    lines = [number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith(f"  # {wrong}")]
    after = WRONG[:begin].count("\n") if kind in ("transform", "model", "optimizer") else 0
    line = next(number for number in lines if number > after) if len(lines) > 1 else lines[0]
    if (kind, wrong) == ("task", "encode raises"):
        line = lines[1]

    with pytest.raises(PluginError) as raised:
        run(plugin, tmp_path, kind, wrong)

    deed = r"(failed|could not be built)[^(]*"
    told = rf"{kind} 'wrong-{kind}' of wrong\.py {deed} \({re.escape(str(plugin))}:{line}\): \w+"
    assert re.match(told, str(raised.value)), raised.value
    assert raised.value.exit_code == 4


@pytest.mark.parametrize(("kind", "wrong"), RETURNED, ids=str)
def test_a_wrong_value_is_reported_with_plugin_component_and_line(
    plugin: Path, tmp_path: Path, kind: str, wrong: str
) -> None:
    with pytest.raises(PluginError) as raised:
        run(plugin, tmp_path, kind, wrong)

    told = str(raised.value)
    assert told.startswith(f"{kind} 'wrong-{kind}' of wrong.py "), told
    assert RETURNED[kind, wrong] in told
    assert re.search(rf"\({re.escape(str(plugin))}:\d+\)", told), told


SEARCHES = {
    "a number": "was built as a int, which is no function of a trial's number",
    "raises": "failed ({file}:{line}): StopIteration: no more",
    "a list": "returned [1] for trial 0; the space has train.steps",
    "other settings": "returned settings of train.epochs for trial 0; the space has train.steps",
    "settings of numpy": "returned settings for trial 0 that cannot be written as JSON: Object of type int64",
    "infinite": "returned settings for trial 0 that cannot be written as JSON: Out of range float values",
}


@pytest.mark.parametrize("wrong", SEARCHES)
def test_a_wrong_search_is_reported_before_anything_is_tried(plugin: Path, wrong: str) -> None:
    line = next(number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# search raises"))
    search = json.dumps({"use": "wrong-search", "wrong": wrong})

    with pytest.raises(PluginError) as raised:
        read_sweep_of(plugin.with_suffix(".yaml"), search, ["train.steps=[1, 2]"])

    told = SEARCHES[wrong].format(file=plugin, line=line)
    assert str(raised.value).startswith(f"search 'wrong-search' of wrong.py {told}")
    assert str(plugin) in str(raised.value)


def test_a_sound_search_is_let_be(plugin: Path) -> None:
    loaded = read_sweep_of(plugin.with_suffix(".yaml"), "wrong-search", ["train.steps=[1, 2]"])

    search = build_search(loaded.sweep, loaded.space, "max", installed_plugins().catalog)

    assert [search(number, History()) for number in range(3)] == [{"train.steps": 1}, {"train.steps": 2}, None]


def test_a_wrong_tracker_is_named_in_its_account(plugin: Path, tmp_path: Path) -> None:
    catalog = installed_plugins().catalog
    config = catalog.find("tracker", "wrong-tracker").component.config
    line = next(number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# log raises"))

    def tracker(wrong: str) -> AnsweredTracker:
        built = catalog.build("tracker", config.model_validate({"use": "wrong-tracker", "wrong": wrong}))
        return AnsweredTracker(built, catalog.answering("tracker", "wrong-tracker"))

    whole = rf"tracker 'wrong-tracker' of wrong\.py failed \({re.escape(str(plugin))}:{line}\): TimeoutError: no server"
    with pytest.raises(PluginError, match=whole):
        tracker("").log([])
    with pytest.raises(PluginError, match=whole.replace(f":{line}", r":\d+")):
        tracker("").artifact("model", tmp_path)
    with pytest.raises(PluginError, match="returned '0' as its `cursor`; expected how many rows it holds"):
        tracker("a text as cursor").cursor()
    with pytest.raises(PluginError, match="has no method `start`"):
        AnsweredTracker(object(), catalog.answering("tracker", "wrong-tracker"))  # type: ignore[arg-type]


def test_an_error_at_an_answer_is_reported_and_logged_with_its_traceback(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = run(plugin, tmp_path).folder
    monkeypatch.setenv("LMKIT_TEST_BREAKS", "1")

    printed = []
    for option in ([], ["-v"]):
        monkeypatch.setattr(sys, "argv", ["lmkit", "predict", str(finished), "a good film", *option])
        with pytest.raises(SystemExit) as end:
            main()
        printed.append((end.value.code, capsys.readouterr().err))

    (code, plain), (_, verbose) = printed
    assert code == 4
    assert re.fullmatch(
        rf"model 'wrong-model' of wrong\.py failed \({re.escape(str(plugin))}:\d+\): TypeError: not today\n", plain
    )
    assert "Traceback" in verbose and verbose.endswith(plain)
    assert 'raise TypeError("not today")' in (finished / "log.txt").read_text()


def test_a_run_answers_and_is_measured_without_the_plugins_that_only_trained_it(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"a {word} film {n}", "label": word} for n in range(20) for word in ("good", "bad")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = ["data={use: jsonl, path: rows.jsonl}", "transforms=[]", "task=text-classification"]
    overrides += ["tokenizer=whitespace", "model={use: lstm, width: 8, hidden: 8}", "metrics=[accuracy, wrong-metric]"]
    recipe = load_recipe(plugin.with_suffix(".yaml"), [*overrides, "train.monitor=wrong_metric"])
    finished = run_recipe(recipe, base=tmp_path, runs=tmp_path / "runs")
    monkeypatch.setenv("LMKIT_PLUGINS", "")

    again = open_run(finished.id, tmp_path / "runs")

    assert set(again.predict(["a good film"])["prediction"].to_pylist()) <= {"good", "bad"}
    measured = again.evaluate(overrides=["metrics=[accuracy]"])
    assert (
        measured.results["test"].measures["accuracy"].value
        == finished.record.results["test"].measures["accuracy"].value
    )
    with pytest.raises(RecipeError, match="no metric is called 'wrong.py/wrong-metric'"):
        again.evaluate()


@pytest.mark.parametrize(
    ("wrong", "error"), [("refuses on purpose", DataError), ("stops", KeyboardInterrupt), ("no memory", MemoryError)]
)
def test_what_is_raised_on_purpose_or_by_the_machine_passes(
    plugin: Path, tmp_path: Path, wrong: str, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        run(plugin, tmp_path, "data", wrong)

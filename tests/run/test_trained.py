"""Trained models opened again: what they answer is what the run stored, whatever the batches, without the data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from lmkit.api import Run
from lmkit.errors import DataError, LmkitError, PluginError, UsageError
from lmkit.plugins import installed_plugins
from lmkit.plugins.installed import add_plugin_file
from lmkit.run.trained import open_trained, predict_rows

Trained = Callable[[str], Run]
KINDS = ["labels", "tags", "texts"]


def test_rows(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the test split as the source has them, and what the run answered to each."""
    stored = run.predictions("test").to_pylist()
    lines = (run.folder.parents[1] / f"{run.record.name}.jsonl").read_text().splitlines()
    return [json.loads(lines[entry["row"]]) for entry in stored], stored


test_rows.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_answers_are_those_that_the_run_stored_in_any_batches_and_any_order(
    trained: Trained, kind: str, batch_size: int | None
) -> None:
    rows, stored = test_rows(trained(kind))
    order = np.random.default_rng(batch_size or 0).permutation(len(rows))

    found = trained(kind).predict([rows[place] for place in order], batch_size=batch_size).to_pylist()

    assert [entry["row"] for entry in found] == list(range(len(rows)))
    for answer, place in zip(found, order, strict=True):
        assert answer["prediction"] == stored[place]["prediction"]
        for name in {"logits", "probabilities"} & stored[place].keys():
            np.testing.assert_allclose(answer[name], stored[place][name], atol=1e-5)


def test_the_answers_of_a_long_table_come_in_its_order(trained: Trained) -> None:
    model = open_trained(trained("labels").folder, installed_plugins())
    texts = [f"{'a joy' if number % 3 else 'a dull film'} {'and so on ' * (number % 7)}" for number in range(500)]
    alone = {text: predict_rows(model, pa.table({"text": [text]}))["prediction"][0] for text in set(texts)}

    found = predict_rows(model, pa.table({"text": texts}), batch_size=4)  # three windows

    assert len(set(alone.values())) == 2
    assert found["prediction"] == [alone[text] for text in texts]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_without_its_data_and_its_recipes_folder_answers(trained: Trained, tmp_path: Path, kind: str) -> None:
    rows, stored = test_rows(trained(kind))
    moved = Run(tmp_path / "moved")
    shutil.copytree(trained(kind).folder, moved.folder)
    record = json.loads((moved.folder / "record.json").read_text())
    record["provenance"]["base"] = str(tmp_path / "gone")
    record.pop("checksum", None)  # of the record before this edit
    (moved.folder / "record.json").write_text(json.dumps(record))
    for name in ("predictions", "ledger.json", "metrics.jsonl", "log.txt"):
        path = moved.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert moved.predict(rows)["prediction"].to_pylist() == [entry["prediction"] for entry in stored]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokenizers_give_the_ids_that_the_run_used(trained: Trained, kind: str) -> None:
    from lmkit.data.prepare import prepare_rows
    from lmkit.data.tokenizers import build_tokenizers

    run = trained(kind)
    model = open_trained(run.folder, installed_plugins())
    base = run.folder.parents[1]
    plugins = installed_plugins()
    rows = prepare_rows(model.recipe, base, plugins.catalog)
    fitted = build_tokenizers(model.recipe, rows, base, plugins)

    texts = ["a fine film", "say [PAD] and [SEP]", "", "新しい 🙂 ﬁne"]
    for ours, theirs in zip((model.tokenizer, model.target_tokenizer), fitted, strict=True):
        assert ours.encode(texts) == theirs.encode(texts)
        assert ours.serialized() == theirs.serialized()
        assert (ours.pad, ours.unknown, ours.begin, ours.end, ours.mask) == (
            theirs.pad,
            theirs.unknown,
            theirs.begin,
            theirs.end,
            theirs.mask,
        )


def test_rows_may_be_texts_mappings_tables_and_data_frames(trained: Trained) -> None:
    pandas = pytest.importorskip("pandas")
    run = trained("labels")
    texts = ["a joy", "a dull film"]

    expected = run.predict(texts)
    assert expected.column_names == ["row", "prediction", "probabilities", "logits"]
    assert run.predict([{"review": text, "label": "no label of ours"} for text in texts]) == expected
    assert run.predict(pa.table({"text": texts, "id": [1, 2]})) == expected
    assert run.predict(pandas.DataFrame({"opinion": texts})) == expected
    assert run.predict(pa.table({"opinion": texts, "id": [1, 2]}), columns={"text": "opinion"}) == expected
    assert run.predict("a joy").num_rows == 1
    assert run.predict([]).num_rows == 0


def test_words_may_be_lists_or_a_text_with_spaces(trained: Trained) -> None:
    run = trained("tags")

    one, other, empty = (
        run.predict(rows)["prediction"].to_pylist()
        for rows in (["Ada Lovelace was in London"], [["Ada", "Lovelace", "was", "in", "London"]], [""])
    )

    assert one == other and len(one[0]) == 5
    assert empty == [[]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 2], "rows are texts, mappings of column to value, an Arrow table or a data frame, not int"),
        ([{"reviews": "x", "id": 1}], r"no column 'review'; it has 'reviews', 'id'\. .* --column text=reviews"),
        (pa.table({"text": [1]}), "text was expected for 'text', int64 was found"),
    ],
)
def test_what_is_no_row_for_the_task_is_told(trained: Trained, rows: Any, message: str) -> None:
    with pytest.raises(LmkitError, match=message):
        trained("labels").predict(rows)


def test_a_model_is_ones_own_to_change(trained: Trained) -> None:
    run = trained("labels")
    before = run.predict(["a joy"])

    model = run.model()
    assert not model.training
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()

    assert run.predict(["a joy"]) == before


def test_opening_a_model_draws_nothing_from_the_callers_random_numbers(trained: Trained) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    trained("labels").model()

    assert torch.equal(torch.rand(2), expected)


def damaged(run: Run, tmp_path: Path, damage: Callable[[Path], None]) -> str:
    """What is said of a run after its folder `model` was damaged."""
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    damage(folder / "model")
    with pytest.raises(UsageError) as raised:
        open_trained(folder, installed_plugins())
    return str(raised.value)


def test_a_run_without_a_model_or_with_a_damaged_one_is_told(trained: Trained, tmp_path: Path) -> None:
    run = trained("labels")

    def cut(model: Path) -> None:
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])

    def of_another(model: Path) -> None:
        shutil.copy(trained("tags").folder / "model" / "model.safetensors", model)

    told = [
        damaged(run, tmp_path / str(number), damage)
        for number, damage in enumerate(
            [
                shutil.rmtree,
                cut,
                of_another,
                lambda model: (model / "labels.json").unlink(),
                lambda model: (model / "tokenizer.json").write_text("{}"),
                lambda model: (model / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}'),
            ]
        )
    ]

    assert told[0].startswith(f"run {run.id} has no model")
    assert "model.safetensors cannot be read" in told[1] and "model.safetensors cannot be read" in told[2]
    assert "labels.json cannot be read" in told[3]
    assert all("this run's model is damaged" in message for message in told[1:])


def test_memory_that_runs_out_is_told_with_the_batch(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_trained(trained("labels").folder, installed_plugins())

    def exhausted(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(type(model.model), "forward", exhausted)

    with pytest.raises(LmkitError, match=r"memory ran out on a batch of 2 rows × \d+ tokens. Lower --batch-size"):
        predict_rows(model, pa.table({"text": ["a", "b", "c"]}), batch_size=2)


FILE_PLUGIN = '''
from typing import Literal
import torch
from torch import nn
from lmkit import Component, hookimpl
from lmkit.kinds.model import ModelConfig, Output

class MeanConfig(ModelConfig):
    """The mean of embeddings, with what it read in training counted."""

    use: Literal["mean"]

class Mean(nn.Module):
    def __init__(self, size, labels, read):
        super().__init__()
        self.embedding = nn.Embedding(size, 8)
        self.head = nn.Linear(8, labels)
        self.register_buffer("read", torch.tensor(read))

    def forward(self, batch):
        mask = batch["attention_mask"][..., None].float()
        return Output(self.head((self.embedding(batch["input_ids"]) * mask).sum(1) / mask.sum(1)))
{save}
def build(config, *, tokenizer, head, features):
    read = 0 if features is None else len(features.weight)
    return Mean(tokenizer.vocab_size, len(head.labels), read)

@hookimpl
def provide_models():
    return [Component(MeanConfig, build=build)]
'''


def test_a_model_of_a_file_plugin_opens_again(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmkit import load_recipe, run_recipe

    base = trained("labels").folder.parents[1]
    monkeypatch.setenv("LMKIT_PLUGINS", "")
    (tmp_path / "mean.py").write_text(FILE_PLUGIN.format(save=""))
    add_plugin_file(tmp_path / "mean.py")

    run = run_recipe(load_recipe(base / "recipe.yaml", ["model=mean", "train.epochs=1"]), base=base)
    rows = [json.loads(line) for line in (base / "labels.jsonl").read_text().splitlines()]
    stored = run.predictions("test").to_pylist()

    found = run.predict([rows[entry["row"]] for entry in stored])
    np.testing.assert_allclose(found["logits"].to_pylist(), [entry["logits"] for entry in stored], atol=1e-5)
    assert int(run.model().get_buffer("read")) == run.record.data["rows"]["train"]


def test_a_model_that_saves_itself_and_cannot_be_opened_is_told(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMKIT_PLUGINS", "")
    (tmp_path / "closed.py").write_text(FILE_PLUGIN.format(save="    def save(self, folder): pass\n"))
    add_plugin_file(tmp_path / "closed.py")
    folder = tmp_path / "run"
    shutil.copytree(trained("labels").folder, folder)
    recipe = (folder / "recipe.yaml").read_text()
    start, end = recipe.index("model:"), recipe.index("optimizer:")
    (folder / "recipe.yaml").write_text(f"{recipe[:start]}model: mean\n{recipe[end:]}")

    with pytest.raises(PluginError, match="model 'mean' has a file format of its own .* does not ask for `saved`"):
        open_trained(folder, installed_plugins())


def test_weights_that_lack_one_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig, BertForSequenceClassification

    from lmkit.kinds.heads import SequenceHead
    from lmkit.pretrained import restored_model

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertForSequenceClassification(BertConfig(vocab_size=10, num_labels=3, **small)).save_pretrained(tmp_path)
    head = SequenceHead(("a", "b", "c"))
    assert restored_model(tmp_path, head) is not None

    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="does not hold the whole of this model: 1 missing keys"):
        restored_model(tmp_path, head)

"""The page on writing a plugin: its files make a plugin that a recipe can use."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lmkit.kinds import KINDS
from lmkit.plugins import load_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import typed_recipe

PAGE = Path(__file__).parent.parent / "docs" / "plugins.md"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, importable."""
    for name, code in re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.S):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("lmkit_lion")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.usefixtures("package")
def test_the_pages_plugin_loads_and_its_optimizer_lowers_a_loss() -> None:
    import torch

    plugins = load_plugins([("lmkit", None, "lmkit.builtin.plugin"), ("lmkit-lion", "0.1.0", "lmkit_lion.plugin")])
    assert [plugin.cause for plugin in plugins.found] == [None, None]
    text = """
        {name: tiny, data: {use: jsonl, path: x}, task: translation, tokenizer: bpe, model: encoder-decoder,
         optimizer: {use: lion, lr: 1e-2}, metrics: [length-error], train: {monitor: length_error}}
    """
    recipe = typed_recipe(parse_document(text, "page"), plugins.catalog)
    model = torch.nn.Linear(4, 1)
    rows, targets = torch.randn(64, 4), torch.ones(64, 1)

    optimizer = plugins.catalog.build(
        "optimizer", recipe.optimizer, model=model, parameters=list(model.named_parameters())
    )
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (model(rows) - targets).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.usefixtures("package")
def test_the_pages_metric_measures_what_it_says() -> None:
    plugins = load_plugins([("lmkit", None, "lmkit.builtin.plugin"), ("lmkit-lion", "0.1.0", "lmkit_lion.plugin")])
    component = plugins.catalog.find("metric", "length-error").component

    metric = plugins.catalog.build("metric", component.config.model_validate({"use": "length-error"}), labels=())

    assert metric.compute(metric.statistics(["abc", "a"], ["abcd", "abcd"]).sum(0)) == {"length_error": 2.0}


def test_the_table_of_kinds_names_every_kind() -> None:
    rows = re.findall(r"^\| (\w+) \|", PAGE.read_text(), re.M)

    assert rows[1:] == list(KINDS)

"""What lmkit sees of the plugin: its components, at the price of no heavy import."""

from __future__ import annotations

import os
import subprocess
import sys

from lmkit.plugins import load_plugins


def test_the_plugin_provides_two_data_sources_a_tokenizer_and_a_model() -> None:
    loaded = load_plugins([("lmkit-starter", "0.1.0", "lmkit_starter.plugin")])

    assert [plugin.cause for plugin in loaded.found] == [None]
    names = {kind: loaded.catalog.names(kind) for kind in ("data", "tokenizer", "model")}
    assert {name for name in names["data"] if "/" not in name} == {"wheel", "sample"}
    assert "minilm" in names["tokenizer"] and "minilm" in names["model"]


def test_listing_the_plugin_imports_nothing_heavy() -> None:
    code = "import lmkit_starter.plugin, sys; print(*sorted(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    heavy = {"torch", "transformers", "tokenizers", "pyarrow", "numpy", "filelock", "lmkit_starter.wheels"}
    assert heavy.isdisjoint(imported.stdout.split())


def test_every_builder_can_be_imported() -> None:
    catalog = load_plugins([("lmkit-starter", "0.1.0", "lmkit_starter.plugin")]).catalog

    for kind, name in [("data", "wheel"), ("data", "sample"), ("tokenizer", "minilm"), ("model", "minilm")]:
        assert callable(catalog.find(kind, name).component.load())

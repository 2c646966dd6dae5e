"""The perturbation on the page about validation keeps its kind's contract, as a file that --plugin names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lmkit.component import Component
from lmkit.plugins import load_plugins
from lmkit.testing.contracts import PerturbationContract

PAGE = Path(__file__).parents[1] / "docs" / "validate.md"


@pytest.fixture(scope="module")
def quotes(tmp_path_factory: pytest.TempPathFactory) -> Component:
    (code,) = re.findall(r"^```python\n# quotes\.py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    path = tmp_path_factory.mktemp("page") / "quotes.py"
    path.write_text(code, encoding="utf-8")
    loaded = load_plugins([("quotes.py", None, str(path), True)])
    assert [plugin.cause for plugin in loaded.found] == [None]
    return loaded.catalog.find("perturbation", "quotes").component


class TestQuotes(PerturbationContract):
    @pytest.fixture(autouse=True)
    def _component(self, quotes: Component) -> None:
        self.component = quotes  # type: ignore[misc]

    def test_it_does_what_it_says(self) -> None:
        assert self._changed([{"text": "I don't"}]) == [{"text": "I don’t"}]

"""The notebook in docs: its cells run, one after the other, and give what the page shows."""

from __future__ import annotations

import ast
import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first-run.ipynb"
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def executed(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last line, None where a semicolon or no expression ends it."""
    *statements, last = ast.parse(source).body
    printed = StringIO()
    with redirect_stdout(printed):
        if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
            exec(compile(source, str(NOTEBOOK), "exec"), names)
            return printed.getvalue(), None
        exec(compile(ast.Module(statements, []), str(NOTEBOOK), "exec"), names)
        value = eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)
    return printed.getvalue(), value


def shape(text: str) -> str:
    """The text without its numbers, which another processor may compute a little differently, and its line breaks."""
    return " ".join(NUMBER.sub("#", text).split())


@pytest.mark.slow
def test_the_notebook_runs_and_gives_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    for cell in code_cells():
        printed, value = executed("".join(cell["source"]), names)

        shown = {output["output_type"]: output for output in cell["outputs"]}
        assert ("stream" in shown) == bool(printed)
        assert ("execute_result" in shown) == (value is not None)
        if value is not None:
            assert shape(repr(value)) == shape("".join(shown["execute_result"]["data"]["text/plain"]))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["films"]
    runs = sorted(path.name.split("-")[1] for path in (tmp_path / "films" / "runs").iterdir())
    assert runs == ["lstm", "small"]


def test_the_notebook_was_saved_without_errors_and_in_order() -> None:
    cells = code_cells()

    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"] == []
    texts = [
        "".join(output.get("text") or output["data"]["text/plain"]) for cell in cells for output in cell["outputs"]
    ]
    assert texts and not any("/" in text for text in texts)  # no path of the machine it was saved on

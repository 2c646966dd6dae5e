"""Plugins that fail to load: each is reported by every command that loads plugins, and refused if it was named."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkit.cli.main import main
from lmkit.plugins import installed_plugins
from lmkit.plugins.installed import _plugins, _report

RECIPE = """\
name: films
data: {use: jsonl, path: rows.jsonl}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""

LISTENER = "from lmkit import hookimpl\n\n\n@hookimpl\ndef after_run(record):\n    pass\n"

FAILED = {
    "a misspelt hook": (LISTENER.replace("after_run", "after_ran"), "no hook is called 'after_ran'", 4),
    "an import that raises": ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named", 1),
    "a syntax error": ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax", 2),
    "an exit": ("\n\nraise SystemExit(0)\n", "SystemExit: 0", 3),
    "an unknown argument": (LISTENER.replace("(record)", "(model)"), "after_run asks for model", 4),
}
"""A plugin file, why it cannot be loaded, and at which line."""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lmkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command in this process, and returns its exit code and what it prints."""
    monkeypatch.setenv("LMKIT_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films.yaml").write_text(RECIPE)
    (tmp_path / "rows.jsonl").write_text('{"text": "fine", "label": "good"}\n')
    logger = logging.getLogger("lmkit.plugins")
    monkeypatch.setattr(logger, "propagate", False)  # pytest's own handlers would keep the line from being printed
    _report.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(sys, "argv", ["lmkit", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    yield run
    _plugins.cache_clear()


@pytest.mark.parametrize("name", FAILED)
@pytest.mark.parametrize("order", ["before", "after"])
def test_one_that_is_named_is_refused_with_its_line(lmkit: Run, tmp_path: Path, name: str, order: str) -> None:
    source, cause, line = FAILED[name]
    (tmp_path / "broken.py").write_text(source)
    option = ["--plugin", "broken.py"]

    command = [*option, "check", "films.yaml"] if order == "before" else ["check", "films.yaml", *option]
    code, out, err = lmkit(*command)

    assert (code, out) == (4, "")
    assert err.startswith(f"--plugin broken.py could not be loaded: {cause}")
    assert err.endswith(f"({tmp_path}/broken.py:{line})\n") and err.count("\n") == 1


@pytest.mark.parametrize("name", FAILED)
def test_one_that_is_installed_is_reported_in_one_line_and_the_command_goes_on(
    lmkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source, cause, line = FAILED[name]
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "broken.py"))

    code, out, err = lmkit("check", "films.yaml")

    assert (code, out) == (0, "films.yaml: ok\n")
    assert err.startswith(f"plugin broken.py could not be loaded: {cause}")
    assert f"({tmp_path}/broken.py:{line}); LMKIT_BLOCK=broken.py leaves it out" in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["runs", "cache list", "sweeps list", "recipes"])
def test_a_command_that_needs_no_plugin_reports_a_failed_file_too(
    lmkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "broken.py"))

    code, _, err = lmkit(*command.split())

    assert code == 0
    assert err.count("plugin broken.py could not be loaded: ModuleNotFoundError") == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\n", "it provides nothing and listens to nothing"),
        (LISTENER.replace("@hookimpl\n", ""), "after_run has no @hookimpl, so that nobody calls it"),
    ],
)
def test_one_that_is_named_and_gives_nothing_is_refused(lmkit: Run, tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "empty.py").write_text(source)

    code, _, err = lmkit("check", "films.yaml", "--plugin", "empty.py")

    assert code == 4 and err.startswith(f"--plugin empty.py gives nothing: {told}")


def test_a_hook_without_its_mark_is_reported_beside_others_that_have_it(lmkit: Run, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(LISTENER + "\n\ndef before_run(record):\n    pass\n")

    code, out, err = lmkit("check", "films.yaml", "--plugin", "half.py")

    assert (code, out) == (0, "films.yaml: ok\n")
    assert err == "plugin half.py: before_run has no @hookimpl, so that nobody calls it\n"


def test_one_of_hooks_alone_is_listed_with_them_and_listens(lmkit: Run, tmp_path: Path) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)

    code, out, err = lmkit("plugins", "--plugin", "listener.py")

    assert (code, err) == (0, "")
    assert "hooks     after_run" in out[out.index("listener.py") :]
    assert [name for name, _ in installed_plugins().listeners] == ["listener.py"]

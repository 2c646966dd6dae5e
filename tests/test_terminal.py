"""The terminal: what is shown, what is replaced, and what is dropped where nothing can be written."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import rich.console
import rich.markup
from rich.table import Table
from rich.text import Text

import lmkit
from lmkit.console import open_console
from lmkit.errors import ResourceError
from lmkit.recipe.document import parse_document
from lmkit.run.progress import LiveProgress, Position
from lmkit.terminal import Stream, exact_stream, guarded_streams, print_json, unwritten, visible, writable

SOURCES = Path(lmkit.__file__).parent
MARKUP = "[red]x[/red] [/INST] [neg] runs [v1]/a :smile: [link=http://a]b[/link]"


@pytest.fixture
def closed_pipe() -> Iterator[io.TextIOWrapper]:
    """A stream whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115
    yield stream
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), writer)
    stream.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "a\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("sure\rfake", "sure\\rfake".replace("\\r", "\\x0d")),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("one\u2028two", "one\\u2028two"),
        ("half \ud83d", "half \\ud83d"),
        ("שלום, 안녕 👩‍👧 é →", "שלום, 안녕 👩‍👧 é →"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("train → evaluate ≥ 0.5 …", "ascii", "train -> evaluate >= 0.5 ..."),
        ("naïve", "ascii", "na\\xefve"),
        ("naïve → 漢", "latin-1", "naïve -> \\u6f22"),
        ("👍", "ascii", "\\U0001f44d"),
        ("漢 →", "utf-8", "漢 →"),
        ("→", None, "→"),
        ("→ é", "no-such-encoding", "-> \\xe9"),
    ],
)
def test_characters_that_the_stream_lacks_are_replaced_readably(text: str, encoding: str | None, shown: str) -> None:
    assert writable(text, encoding) == shown


# -- the console


def printed(*parts: object) -> str:
    screen = io.StringIO()
    with redirect_stdout(screen):
        console = open_console(width=200)
        for part in parts:
            console.print(part)
    return screen.getvalue()


def test_text_is_never_markup_wherever_it_stands() -> None:
    table = Table(MARKUP, title=MARKUP, caption=MARKUP)
    table.add_row(MARKUP)

    assert printed(MARKUP, Text(MARKUP), table).count(MARKUP) == 6


def test_no_text_is_parsed_as_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Text:
        raise AssertionError("text was parsed as markup")

    monkeypatch.setattr(rich.console, "render_markup", refuse)
    monkeypatch.setattr(rich.markup, "render", refuse)
    screen = io.StringIO()
    with redirect_stdout(screen):
        open_console(width=200).print(MARKUP, markup=True, highlight=True, emoji=True)

    assert screen.getvalue() == f"{MARKUP}\n"


def test_what_the_console_prints_holds_no_control_characters() -> None:
    table = Table("\x1b[1mhead", title="\x1b]8;;http://a\x07")
    table.add_row(Text("cell\u202e"))

    shown = printed("\x1b[2J", Text("back\x1b[A"), table)

    assert not set(shown) & {"\x1b", "\x07", "\r", "\u202e"}
    assert all(text in shown for text in ("\\x1b[2J", "back\\x1b[A", "\\x1b[1mhead", "\\x07", "cell\\u202e"))


def test_the_console_is_made_in_one_place() -> None:
    """Whatever else of rich would read text as markup is not imported anywhere."""
    harmless = {"rich.box", "rich.live", "rich.measure", "rich.progress_bar", "rich.table", "rich.text"}
    types = {"Console", "ConsoleOptions", "RenderResult", "RenderableType"}
    wrong = []
    for path in SOURCES.rglob("*.py"):
        if path == SOURCES / "console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if isinstance(node, ast.Import) and any(name.partition(".")[0] == "rich" for name in names):
                wrong.append(f"{path}: import {names}")
            if module.partition(".")[0] == "rich" and module not in harmless:
                wrong += [f"{path}: {module}.{name}" for name in names if module != "rich.console" or name not in types]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console":
                wrong.append(f"{path}: Console(…)")
            if isinstance(node, ast.Attribute) and node.attr in ("from_markup", "from_ansi"):
                wrong.append(f"{path}: {node.attr}")

    assert [line for line in wrong if "import ['rich']" not in line and "rich.box" not in line] == []


def test_beside_a_live_line_what_is_printed_has_no_control_characters_either() -> None:
    screen = io.StringIO()
    with redirect_stdout(screen), redirect_stderr(screen):
        progress = LiveProgress(open_console(width=80, force_terminal=True, color_system="standard"))
        progress.show(Position("train", step=1, steps=4))
        print("from a plugin \x1b[31mred\x1b]8;;http://a\x07")
        progress.close()

    assert "from a plugin \\x1b[31mred\\x1b]8;;http://a\\x07" in screen.getvalue()


# -- streams


def test_a_progress_bar_of_a_library_may_return_to_the_beginning_of_its_line_and_a_text_may_not() -> None:
    screen = io.StringIO()
    stream = Stream(screen)

    for text in ("\r 10 %", "\r 20 %", "\n", "label: ", "\rfake", "\n"):
        stream.write(text)

    assert screen.getvalue() == "\r 10 %\r 20 %\nlabel: \\x0dfake\n"


def test_what_a_reader_that_is_gone_would_get_is_dropped(closed_pipe: io.TextIOWrapper) -> None:
    with redirect_stdout(closed_pipe), guarded_streams("stdout"):
        for _ in range(3):
            print("a line", flush=True)
            open_console().print(Table(title="a table"))
        print("held back " * 10_000)

        assert unwritten() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_what_a_full_device_refuses_is_dropped_and_known() -> None:
    with open("/dev/full", "w") as full, redirect_stdout(full), guarded_streams("stdout"):
        print("a line", flush=True)
        open_console().print("another")

        lost = unwritten()
        assert lost is not None and lost.strerror == "No space left on device"


def test_a_stream_that_is_closed_or_missing_takes_everything() -> None:
    closed = io.StringIO()
    closed.close()

    for stream in (Stream(closed), Stream(None)):
        assert stream.write("text") == 4
        stream.flush()


def test_a_device_that_has_room_again_is_written_to_again() -> None:
    class Full(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    device = Full()
    stream = Stream(device)
    stream.write("one\n")
    device.full = False
    stream.write("two\n")

    assert device.getvalue() == "two\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_the_same_value_whatever_the_stream_can_hold(encoding: str) -> None:
    value = {"tëxt": "→ 漢 👍 \x1b[31m \x7f \x9b \u202e \u2028 \ud83d", "list": [1, None]}
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    with redirect_stdout(stream), guarded_streams("stdout"):
        print_json(value)

    text = written.getvalue().decode(encoding)
    assert json.loads(text) == value
    assert not set(text) & {"\x1b", "\x7f", "\x9b", "\u202e", "\u2028"}


def test_a_recipe_that_is_printed_into_a_file_keeps_its_texts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lmkit.cli.main import main

    recipe = tmp_path / "recipe.yaml"
    path = "rows\u202e[1] #2.csv"
    recipe.write_text(
        f'{{name: films, data: {{use: csv, path: "{path}"}}, task: text-classification, tokenizer: byte, model: lstm, '
        "optimizer: adamw}",
        encoding="utf-8",
    )
    (tmp_path / path).write_text("text,label\na,b\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["lmkit", "explain", str(recipe)])
    with pytest.raises(SystemExit):
        main()

    assert parse_document(capsys.readouterr().out, "explained").find(("data", "path")).value == path


def test_rows_are_written_exactly_to_a_file_and_visibly_to_a_terminal() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((io.StringIO(), "a\x1b[31m\r\n"), (Screen(), "a\\x1b[31m\n")):
        with redirect_stdout(stream), guarded_streams("stdout"):
            exact_stream().write("a\x1b[31m\r\n")
        assert stream.getvalue() == shown


def test_rows_that_cannot_be_written_are_an_error(closed_pipe: io.TextIOWrapper) -> None:
    with redirect_stdout(closed_pipe), guarded_streams("stdout"):
        rows = exact_stream()
        rows.write("a row\n")
        with pytest.raises(BrokenPipeError):
            rows.flush()
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full, redirect_stdout(full), guarded_streams("stdout"):
            rows = exact_stream()
            rows.write("a row\n")
            with pytest.raises(ResourceError, match="standard output cannot be written: No space left on device"):
                rows.flush()


# -- commands


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    lmkit = f"{sys.executable} -m lmkit"
    return subprocess.run(
        ["bash", "-c", command.replace("lmkit", lmkit, 1) + '; echo "code ${PIPESTATUS[0]}" >&2'],
        capture_output=True,
        text=True,
        env=os.environ | variables,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("lmkit schema | head -1", 0, ""),
        ("lmkit schema > /dev/full", 4, "standard output could not be written: No space left on device\n"),
        ("lmkit recipes >&-", 0, ""),
        ("lmkit check no-such-recipe.yaml 2>&- >&-", 2, None),
        ("lmkit run no-such-recipe.yaml 2> /dev/full", 2, None),
    ],
)
def test_a_command_that_only_shows_ends_quietly(command: str, code: int, message: str | None) -> None:
    done = shell(command)

    assert done.stderr == f"{message or ''}code {code}\n"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stream_without_the_signs_of_lmkit_gets_others(encoding: str) -> None:
    done = shell("lmkit plugins show model lstm", PYTHONIOENCODING=encoding)

    assert done.stderr == "code 0\n" and "lstm" in done.stdout


def test_a_name_with_control_characters_reaches_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lmkit.cli.main import main

    for arguments in (["run", "\x1b[31mfilms.yaml"], ["--\x1b[2J"], ["runs", "show", "\x1b]0;a\x07"], ["\u202eun"]):
        monkeypatch.setattr(sys, "argv", ["lmkit", *arguments])
        with pytest.raises(SystemExit):
            main()
        printed = capsys.readouterr()
        assert printed.err and not set(printed.out + printed.err) & {"\x1b", "\x07", "\u202e"}

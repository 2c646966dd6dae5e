"""`lmkit predict`: a run's model answers texts, the lines of standard input, or the rows of a file."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmkit.api import Run, open_run
from lmkit.api.logs import logged
from lmkit.cli.tables import answer_table
from lmkit.console import open_console
from lmkit.data.writing import Form, form_of, write_stream, write_tables
from lmkit.errors import DataError, LmkitError, StoppedError, UsageError
from lmkit.run.progress import LiveProgress, NoProgress, Position, Progress
from lmkit.terminal import exact_stream, print_json

if TYPE_CHECKING:
    import pyarrow as pa

    from lmkit.recipe.schema import Recipe
    from lmkit.run.answers import AnsweredRows

AT_ONCE = 8192
"""Rows of a file that are in memory together."""

CHUNK = 1 << 16
"""Bytes of standard input that are answered together, where so many have come."""

MOST_PLACES = 5
"""Rows whose numbers a line names."""

STANDARD_INPUT = "standard input"


def predict_command(
    wanted: str,
    texts: Sequence[str],
    file: Path | None,
    output: Path | None,
    form: str | None,
    columns: Sequence[str],
    batch_size: int | None,
    runs: Path | None,
    *,
    logits: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Answer what is given, and print or write it. What goes wrong is logged in the run's log.txt."""
    run = open_run(wanted, runs)
    try:
        with logged(run.folder, None, required=False):
            _predict(run, texts, file, output, form, columns, batch_size, logits=logits, as_json=as_json)
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped" + (f"; {output} is as it was before" if output else "")) from cause
    except LmkitError:
        if verbose:
            traceback.print_exc()
        raise


def _predict(
    run: Run,
    texts: Sequence[str],
    file: Path | None,
    output: Path | None,
    form: str | None,
    columns: Sequence[str],
    batch_size: int | None,
    *,
    logits: bool,
    as_json: bool,
) -> None:
    told = _Told()
    try:
        recipe = run.answering_recipe
        named = _named(columns, recipe)
        written = form_of(output, form)
        if file is not None and output is not None and output.exists() and output.samefile(file):
            raise UsageError(f"{output} is the file that is read; name another one for the answers")
        tables, where = _tables(recipe, texts, file, named)
        tables = told.read(tables)
        answered = run.answers(tables, where, columns=named, batch_size=batch_size, logits=logits)
        if output is not None:
            _write(told, answered, output, written)
            _tell(told, output, as_json)
        elif texts and "-" not in texts and form is None and not as_json and sys.stdout.isatty():
            for rows in told.noted(answered):
                open_console().print(answer_table(rows.table))
        else:
            write_stream(exact_stream(), (rows.table for rows in told.noted(answered)), written)
        told.say()
    except BrokenPipeError:  # whoever read the answers has enough of them
        sys.stdout.flush()  # which finds the same, and drops what is left


def _tables(
    recipe: Recipe, texts: Sequence[str], file: Path | None, named: dict[str, str]
) -> tuple[Iterator[pa.Table], str]:
    """The rows to answer, and what messages call them."""
    if file is not None and texts:
        raise UsageError("texts and --file are both given; one of them is to be answered")
    if file is not None:
        return _file_tables(recipe, file, named), str(file)
    from lmkit.data.inputs import text_rows

    if texts and list(texts) != ["-"]:
        return iter([text_rows(texts, recipe.task)]), "the command line"
    if not texts and sys.stdin.isatty():
        raise UsageError('what is to be answered? Texts ("…"), --file FILE, or - for standard input, a text a line')
    return (text_rows(lines, recipe.task) for lines in _lines(sys.stdin.buffer)), STANDARD_INPUT


def _file_tables(recipe: Recipe, file: Path, named: dict[str, str]) -> Iterator[pa.Table]:
    """The file's rows, little by little. What is wrong with the first is told at once, before torch is loaded."""
    from lmkit.data.inputs import file_config, input_rows
    from lmkit.data.sources import source_of
    from lmkit.plugins import installed_plugins
    from lmkit.recipe.environment import resolved

    catalog = installed_plugins().catalog
    config = resolved(file_config(file, recipe, catalog))
    tables = source_of(config, recipe.seed, file.parent, catalog).stream(AT_ONCE)
    first = next(tables, None)
    if first is None:
        return iter(())
    input_rows(first, recipe, named, str(file))
    return chain([first], tables)


def _lines(stream: IO[bytes]) -> Iterator[list[str]]:
    """The lines of a stream as they come: all that are there at once, at least one."""
    rest, number = b"", 0
    while True:
        read = stream.read1(CHUNK)  # type: ignore[attr-defined]
        whole, end, begun = (rest + read).rpartition(b"\n")
        lines = whole.split(b"\n") if end else []
        rest = begun
        if not read and rest:
            lines, rest = [rest], b""
        if lines:
            yield [_decoded(line.removesuffix(b"\r"), number + place) for place, line in enumerate(lines, start=1)]
            number += len(lines)
        if not read:
            return


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")  # the first may begin with a byte-order mark
    except UnicodeDecodeError as cause:
        byte = line[cause.start]
        raise DataError(f"{STANDARD_INPUT}:{number}: byte 0x{byte:02x} is not utf-8") from cause


def _named(columns: Sequence[str], recipe: Recipe) -> dict[str, str]:
    """What `--column` says: by the task's name of a column, the rows'."""
    from lmkit.data.inputs import input_columns

    known = [column.name for column in input_columns(recipe.task)]
    named = {}
    for text in columns:
        name, equals, column = text.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"--column {text}: write {known[0]}=COLUMN; task {recipe.task.use!r} reads {', '.join(known)}"
            )
        named[name] = column
    return named


def _write(told: _Told, answered: Iterable[AnsweredRows], output: Path, form: Form) -> None:
    console = open_console("stderr")
    told.progress = LiveProgress(console) if console.is_terminal else NoProgress()
    try:
        write_tables(output, (rows.table for rows in told.noted(answered)), form)
    finally:
        told.progress.close()


def _tell(told: _Told, output: Path, as_json: bool) -> None:
    if as_json:
        counts = {"rows": told.rows, "without_text": len(told.empty), "cut": told.cut, "answers": dict(told.answers)}
        print_json({"output": str(output), **counts}, indent=None)
    else:
        print(f"{told.rows:,} rows: {output}{told.answers_in_words()}")


@dataclass(slots=True)
class _Told:
    """What there is to tell of the rows that were answered."""

    rows: int = 0
    empty: list[int] = field(default_factory=list)
    cut: int = 0
    first_cut: list[int] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    progress: Progress = field(default_factory=NoProgress)
    notes: list[str] = field(default_factory=list)

    def read(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The tables to answer; what their source noticed is kept."""
        from lmkit.kinds.notes import notes_of

        for table in tables:
            self.notes += notes_of(table)
            yield table

    def noted(self, answered: Iterable[AnsweredRows]) -> Iterator[AnsweredRows]:
        """The rows, taken note of as they pass."""
        began = time.monotonic()
        for rows in answered:
            self.empty += [self.rows + row for row in rows.empty]
            if len(self.first_cut) <= MOST_PLACES:
                self.first_cut += [self.rows + row for row in rows.cut[: MOST_PLACES + 1]]
            self.rows += rows.table.num_rows
            self.cut += len(rows.cut)
            if "probability" in rows.table.column_names:
                self.answers.update(rows.table["prediction"].to_pylist())
            rate = self.rows / max(time.monotonic() - began, 1e-9)
            self.progress.show(Position(f"answered {self.rows:,} rows", rate=rate))
            yield rows

    def answers_in_words(self, most: int = 8) -> str:
        shown = [f"{label} {count:,}" for label, count in self.answers.most_common(most)]
        return f" ({', '.join(shown)})" if shown else ""

    def say(self) -> None:
        """Print what was noticed in the file, which rows say nothing, and which were cut."""
        for note in self.notes:
            print(note, file=sys.stderr)
        if self.empty:
            self._warn(len(self.empty), f"without any text, answered all the same ({_places(self.empty)})")
        if self.cut:
            self._warn(self.cut, f"longer than the model reads, and cut off there ({_places(self.first_cut)})")

    def _warn(self, count: int, what: str) -> None:
        print(f"{count:,} row{'' if count == 1 else 's'} {what}", file=sys.stderr)


def _places(rows: Sequence[int]) -> str:
    """The first few of some rows' numbers."""
    more = ", …" if len(rows) > MOST_PLACES else ""
    return f"{', '.join(map(str, rows[:MOST_PLACES]))}{more}, counted from 0"

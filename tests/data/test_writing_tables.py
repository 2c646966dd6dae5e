"""Rows that are written to a file: what a killed process left of it goes, what another one writes stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from lmkit.data.writing import Form, write_tables

TABLE = pa.table({"text": ["a", "b"]})

WRITER = """
import sys, time
from pathlib import Path
import pyarrow as pa
from lmkit.data.writing import write_tables

def tables():
    yield pa.table({"text": ["a"]})
    print("begun", flush=True)
    time.sleep(60)

write_tables(Path(sys.argv[1]), tables(), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_what_a_killed_process_left_of_the_same_file_is_removed(tmp_path: Path, form: Form) -> None:
    output = tmp_path / f"answers [1].{form}"
    with writing(output, form) as process:
        write_tables(output, iter([TABLE]), form)  # while another process writes it
        assert len(left(tmp_path)) == (2 if form == "parquet" else 1)
        process.kill()
        process.wait()

    assert left(tmp_path)
    write_tables(output, iter([TABLE]), form)

    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_temporary_files_of_another_output_stay(tmp_path: Path) -> None:
    other = tmp_path / ".other.jsonl.1.tmp"
    other.touch()

    write_tables(tmp_path / "answers.jsonl", iter([TABLE]), "jsonl")

    assert other.exists()


def left(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".tmp" in path.name]


@contextmanager
def writing(output: Path, form: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", WRITER, str(output), form]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()

"""`lmkit predict`: texts, standard input and files, answered in their order, every row of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmkit.api import Run

Trained = Callable[[str], Run]
Command = Callable[..., Any]

TEXTS = ["a joy from start to end", "cold and witless", "", "bright acting throughout, number 7"]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def expected(trained: Trained) -> list[str]:
    """The labels of TEXTS, each asked alone."""
    return [trained("labels").predict([text])["prediction"][0].as_py() for text in TEXTS]


@pytest.fixture
def predict(lmkit: Command, trained: Trained) -> Command:
    """`lmkit predict` with the run of a task: `predict("labels", …)`."""
    return lambda kind, *arguments: lmkit("predict", trained(kind).folder, *arguments)


def test_texts_are_answered_with_labels_and_probabilities(predict: Command, expected: list[str]) -> None:
    result = predict("labels", *TEXTS)

    rows = lines(result.out)
    assert result.code == 0
    assert [row["text"] for row in rows] == TEXTS
    assert [row["prediction"] for row in rows] == expected
    for row in rows:
        assert set(row["probabilities"]) == {"fresh", "rotten"}
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["prediction"]]
        assert sum(row["probabilities"].values()) == pytest.approx(1)
    assert result.err == "1 row without any text, answered all the same (2, counted from 0)\n"


def test_logits_are_there_when_they_are_wanted(predict: Command, trained: Trained) -> None:
    (row,) = lines(predict("labels", TEXTS[0], "--logits").out)

    assert list(row["logits"].values()) == trained("labels").predict([TEXTS[0]])["logits"][0].as_py()


def test_tags_have_their_spans(predict: Command, trained: Trained) -> None:
    text = "Ada Lovelace was in New York in 7"

    (row,) = lines(predict("tags", text).out)

    words, tags = text.split(), row["prediction"]
    assert (row["tokens"], len(tags)) == (words, len(words))
    assert tags == trained("tags").predict([text])["prediction"][0].as_py()
    begun = [place for place, tag in enumerate(tags) if tag.startswith("B-")]
    assert begun and begun == [span["start"] for span in row["spans"] if tags[span["start"]].startswith("B-")]
    for span in row["spans"]:
        assert span["text"] == " ".join(words[span["start"] : span["end"]])
        assert {tag.partition("-")[2] for tag in tags[span["start"] : span["end"]]} == {span["type"]}


def test_a_translation_is_a_text(predict: Command, trained: Trained) -> None:
    (row,) = lines(predict("texts", "old house 7").out)

    assert row == {
        "source": "old house 7",
        "prediction": trained("texts").predict(["old house 7"])["prediction"][0].as_py(),
    }


def test_on_a_terminal_there_is_a_table(predict: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    table, tagged, programs = (
        predict("labels", *TEXTS),
        predict("tags", "Ada [b]x[/b]"),
        predict("labels", *TEXTS, "--json"),
    )

    assert "probability" in table.out and "a joy from start to end" in table.out and "{" not in table.out
    assert "Ada [b]x[/b]" in tagged.out
    assert len(lines(programs.out)) == len(TEXTS)


def test_what_was_written_is_told_to_programs_too(predict: Command, expected: list[str], tmp_path: Path) -> None:
    (told,) = lines(predict("labels", *TEXTS, "-o", tmp_path / "out.jsonl", "--json").out)

    counts = {label: expected.count(label) for label in sorted(set(expected))}
    assert dict(sorted(told.pop("answers").items())) == counts
    assert told == {"output": str(tmp_path / "out.jsonl"), "rows": 4, "without_text": 1, "cut": 0}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as a file of the format that its name says."""
    inner = path.with_suffix("") if path.suffix == ".gz" else path
    buffer = io.StringIO()
    if inner.suffix in (".csv", ".tsv"):
        writer = csv.DictWriter(buffer, list(rows[0]), delimiter="\t" if inner.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    elif inner.suffix == ".txt":
        buffer.write("".join(row["review"] + "\n" for row in rows))
    elif inner.suffix == ".json":
        json.dump(rows, buffer)
    else:
        buffer.writelines(json.dumps(row) + "\n" for row in rows)
    if inner.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif inner.suffix == ".feather":
        pa.feather.write_feather(pa.Table.from_pylist(rows), path)
    else:
        data = buffer.getvalue().encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return lines(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("in.csv", "out.csv"),
        ("in.tsv", "out.jsonl"),
        ("in.jsonl", "out.parquet"),
        ("in.json", "out.jsonl"),
        ("in.csv.gz", "out.parquet"),
        ("in.txt", "out.csv"),
        ("in.parquet", "out.parquet"),
        ("in.feather", "out.jsonl"),
    ],
)
def test_a_files_rows_are_kept_with_their_order_and_all_their_columns(
    predict: Command, expected: list[str], tmp_path: Path, name: str, output: str
) -> None:
    import pyarrow.feather  # noqa: F401

    rows = [{"id": f"00{number}", "review": text, "stars": "5"} for number, text in enumerate(TEXTS)]

    result = predict("labels", "--file", written(tmp_path / name, rows), "--output", tmp_path / output)

    found = read(tmp_path / output)
    assert result.code == 0
    assert [row["prediction"] for row in found] == expected
    assert result.out.startswith(f"4 rows: {tmp_path / output} (")
    if name == "in.txt":
        assert [row["text"] for row in found] == TEXTS
    else:
        assert [{key: row[key] for key in rows[0]} for row in found] == rows
    probabilities = found[0]["probabilities"]
    assert set(json.loads(probabilities) if output == "out.csv" else probabilities) == {"fresh", "rotten"}


def test_a_long_file_is_answered_little_by_little(
    predict: Command, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmkit.cli.predict.AT_ONCE", 3)
    # Keys that come late or go away are null in the other rows, whatever the others are read with.
    rows: list[dict[str, Any]] = [{"review": text, "id": number} for number, text in enumerate(TEXTS * 3)]
    rows[7:] = [row | {"late": 1.5} for row in rows[7:]]
    path = written(tmp_path / "in.jsonl", rows)

    for output in ("out.jsonl", "out.parquet"):
        predict("labels", "--file", path, "--output", tmp_path / output)
        found = read(tmp_path / output)
        assert [row["prediction"] for row in found] == expected * 3
        assert [row["id"] for row in found] == list(range(12))
        assert [row.get("late") for row in found] == [None] * 7 + [1.5] * 5
    late = predict("labels", "--file", path, "--output", tmp_path / "out.csv")
    assert (late.code, late.err) == (
        2,
        "column 'late' comes after rows without it, which CSV cannot have; write .jsonl\n",
    )
    assert not (tmp_path / "out.csv").exists()
    assert [other.name for other in tmp_path.iterdir() if other.name.startswith(".")] == []


def test_a_column_may_have_the_tasks_name_or_be_named(predict: Command, expected: list[str], tmp_path: Path) -> None:
    for name, options in (("text", []), ("opinion", ["--column", "text=opinion"])):
        path = written(tmp_path / "in.csv", [{"id": "a", name: text} for text in TEXTS])
        assert [row["prediction"] for row in lines(predict("labels", "--file", path, *options).out)] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--file", "rows.csv"],
            "has no column 'review'; it has 'id', 'reviews'. Say which one holds the text: --column text=reviews",
        ),
        (["--file", "row.csv"], "there is no file row.csv; did you mean 'rows.csv'?"),
        (["--file", "rows.xlsx"], "rows.xlsx: a file to read ends in .csv, .tsv, .jsonl"),
        (["--file", "rows.csv", "a text"], "texts and --file are both given"),
        (
            ["--file", "rows.csv", "--column", "words=reviews"],
            "--column words=reviews: write text=COLUMN; task 'text-classification' reads text",
        ),
        (
            ["--file", "answered.csv"],
            "answered.csv has a column 'prediction', and so do the answers; call it otherwise",
        ),
        (["a text", "--output", "out.xls"], "out.xls: rows are written as jsonl, csv, parquet"),
        (["a text", "--format", "parquet"], "parquet is written to files: name one with --output"),
        (["a text", "--format", "xml"], "--format xml: rows are written as jsonl, csv, parquet"),
    ],
)
def test_what_cannot_be_answered_is_told_with_a_way_out(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("id,reviews\n1,good\n")
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    (tmp_path / "answered.csv").write_text("review,prediction\na,b\n")

    result = predict("labels", *arguments)

    assert result.code == 2
    assert message in result.err and result.err.count("\n") == 1
    assert result.out == ""


def test_texts_that_are_longer_than_the_model_reads_are_told(predict: Command) -> None:
    result = predict("labels", "a joy " * 300, "a joy")

    assert result.err == "1 row longer than the model reads, and cut off there (0, counted from 0)\n"


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


@pytest.mark.parametrize("arguments", [["-"], []])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_lines_of_standard_input_are_answered_each(
    predict: Command,
    expected: list[str],
    standard_input: Callable[[bytes], None],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    chunk: int,
) -> None:
    monkeypatch.setattr("lmkit.cli.predict.CHUNK", chunk)
    standard_input("\r\n".join(TEXTS).encode())  # the last one without an end

    assert [row["prediction"] for row in lines(predict("labels", *arguments).out)] == expected


def test_a_byte_order_mark_on_standard_input_is_no_text(
    predict: Command, standard_input: Callable[[bytes], None]
) -> None:
    standard_input("\ufeffa joy\n\ufeffb\n".encode())

    assert [row["text"] for row in lines(predict("labels").out)] == ["a joy", "\ufeffb"]  # a mark is at the beginning


def test_bytes_that_are_no_text_are_told_with_their_line(
    predict: Command, standard_input: Callable[[bytes], None]
) -> None:
    standard_input(b"a joy\nb\xffd\n")

    result = predict("labels", "-")

    assert (result.code, result.err) == (2, "standard input:2: byte 0xff is not utf-8\n")


@pytest.mark.slow
def test_a_pipe_is_answered_as_it_comes_and_ends_well(trained: Trained) -> None:
    command = [sys.executable, "-m", "lmkit", "predict", str(trained("labels").folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None

    for text in (b"a joy", b"wooden", b"warm"):
        process.stdin.write(text + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == text.decode()  # before the next one is written

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.decode()) == (130, "stopped\n")


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_the_command_quietly(trained: Trained, tmp_path: Path) -> None:
    path = written(tmp_path / "in.jsonl", [{"review": "a joy"} for _ in range(30_000)])
    command = [sys.executable, "-m", "lmkit", "predict", str(trained("labels").folder), "--file", str(path)]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None and process.stderr.read() == b""


@pytest.mark.slow
def test_a_stopped_command_leaves_the_output_as_it_was(trained: Trained, tmp_path: Path) -> None:
    path = written(tmp_path / "in.jsonl", [{"review": "a joy and more " * 9} for _ in range(100_000)])
    output = tmp_path / "out.jsonl"
    output.write_text("before")
    command = [sys.executable, "-m", "lmkit", "predict", str(trained("labels").folder), "--file", str(path)]

    process = subprocess.Popen([*command, "-o", str(output)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".out.jsonl.*")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors.decode()) == (130, f"stopped; {output} is as it was before\n")
    assert output.read_text() == "before" and not list(tmp_path.glob(".out.jsonl.*"))


@pytest.mark.slow
def test_answering_reads_no_training_data_and_imports_no_tracker_and_no_lightning(
    trained: Trained, tmp_path: Path
) -> None:
    moved = tmp_path / "run"
    shutil.copytree(trained("labels").folder, moved)
    record = json.loads((moved / "record.json").read_text())
    record["provenance"]["base"] = str(tmp_path / "gone")  # with the rows
    record.pop("checksum", None)  # of the record before this edit
    (moved / "record.json").write_text(json.dumps(record))
    program = (
        "import sys\nfrom lmkit.cli.main import main\n"
        f"sys.argv = ['lmkit', 'predict', {str(moved)!r}, 'a joy']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*{'wandb', 'pytorch_lightning', 'datasets', 'transformers'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, timeout=120)

    answer, imported = done.stdout.splitlines()
    assert json.loads(answer)["prediction"] == trained("labels").predict(["a joy"])["prediction"][0].as_py()
    assert imported == ""

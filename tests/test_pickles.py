"""Pickles: whatever one is offered as, it is refused, and what is in it never runs."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmkit.data.cached_features import cached_features
from lmkit.errors import DataError, RecipeError
from lmkit.kinds.task import Features
from lmkit.plugins import installed_plugins
from lmkit.recipe.load import load_recipe


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    """One that would run: the fixture looks that it does, and the test's end that it did not."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "it-runs")))
    assert (tmp_path / "it-runs").is_dir()
    return Payload(tmp_path / "it-ran")


@pytest.fixture(autouse=True)
def _nothing_ran(tmp_path: Path) -> Any:
    yield
    assert not (tmp_path / "it-ran").exists()


def _array(payload: Payload) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([payload], dtype=object), allow_pickle=True)
    return file.getvalue()


def _arrays(payload: Payload) -> bytes:
    file = io.BytesIO()
    np.savez(file, rows=np.array([payload], dtype=object))
    return file.getvalue()


def _checkpoint(payload: Payload) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(payload))
        archive.writestr("archive/version", "3")
    return file.getvalue()


def _typed_table(payload: Payload) -> pa.Table:
    """A column whose type is described by a pickle, as Arrow once wrote and read them."""
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(payload)}
    fields = [pa.field("text", pa.string(), metadata=metadata), pa.field("label", pa.string())]
    return pa.table([pa.array(["a"]), pa.array(["b"])], schema=pa.schema(fields))


def _arrow(payload: Payload) -> bytes:
    file = io.BytesIO()
    table = _typed_table(payload)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def _parquet(payload: Payload) -> bytes:
    file = io.BytesIO()
    pq.write_table(_typed_table(payload), file)
    return file.getvalue()


FORMS: dict[str, Callable[[Payload], bytes]] = {
    **{f"a pickle of protocol {n}": lambda payload, n=n: pickle.dumps(payload, protocol=n) for n in range(6)},  # type: ignore[misc]
    "a compressed pickle": lambda payload: gzip.compress(pickle.dumps(payload)),
    "an array": _array,
    "arrays": _arrays,
    "a checkpoint": _checkpoint,
    "an Arrow file with a pickled type": _arrow,
    "a Parquet file with a pickled type": _parquet,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("use", ["csv", "jsonl", "parquet", "arrow", "text", "conll"])
def test_a_pickle_offered_as_rows_is_refused(payload: Payload, tmp_path: Path, use: str, form: str) -> None:
    (tmp_path / "rows.bin").write_bytes(FORMS[form](payload))
    catalog = installed_plugins().catalog
    settings = {"use": use, "path": "rows.bin"} | ({"columns": {"text": "a"}} if use == "conll" else {})
    config = catalog.find("data", use).component.config.model_validate(settings)
    source = catalog.build("data", config, seed=0, folder=tmp_path)

    if form in ("a pickle of protocol 0", "a pickle of protocol 1") and use in ("csv", "text", "conll"):
        with suppress(DataError):
            source.load()  # text like any other
    else:
        with pytest.raises(DataError) as raised:
            source.load()
        assert "rows.bin" in str(raised.value) or "pickle" in str(raised.value)


@pytest.mark.parametrize(
    "magic", ["an array", "arrays", "a checkpoint", "a pickle of protocol 4", "a compressed pickle"]
)
def test_it_is_told_what_it_is_and_that_it_is_never_loaded(payload: Payload, tmp_path: Path, magic: str) -> None:
    (tmp_path / "rows.csv").write_bytes(FORMS[magic](payload))
    catalog = installed_plugins().catalog
    config = catalog.find("data", "csv").component.config.model_validate({"use": "csv", "path": "rows.csv"})

    with pytest.raises(DataError, match="pickle"):
        catalog.build("data", config, seed=0, folder=tmp_path).load()


def test_metadata_of_a_parquet_file_is_not_looked_at(payload: Payload, tmp_path: Path) -> None:
    table = pa.table({"text": ["a"]}).replace_schema_metadata(
        {"pandas": pickle.dumps(payload), "x": pickle.dumps(payload)}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    catalog = installed_plugins().catalog
    config = catalog.find("data", "parquet").component.config.model_validate({"use": "parquet", "path": "rows.parquet"})

    assert catalog.build("data", config, seed=0, folder=tmp_path).load()["text"].to_pylist() == ["a"]


@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_in_the_cache_is_made_anew(payload: Payload, tmp_path: Path, form: str) -> None:
    made = Features({"input_ids": np.array([1, 2])}, np.ones(2), np.zeros(2, np.int64))
    cached_features("key", lambda: made)
    (entry,) = Path(os.environ["LMKIT_CACHE"]).rglob("key.arrow")
    entry.write_bytes(FORMS[form](payload))

    features, was_there = cached_features("key", lambda: made)

    assert not was_there
    assert features.columns["input_ids"].tolist() == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        "model={use: pretrained, source: there, trust_remote_code: true}",
        "tokenizer={use: pretrained, source: there, trust_remote_code: true}",
        "data={use: hub, source: a/b, trust_remote_code: true}",
        "trust_remote_code=true",
        "train.trust_remote_code=true",
    ],
)
def test_no_recipe_can_trust_code_from_elsewhere(tmp_path: Path, change: str) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "{name: a, data: {use: csv, path: a.csv}, task: text-classification, tokenizer: byte, model: lstm, "
        "optimizer: sgd}"
    )

    with pytest.raises(RecipeError, match=r"trust_remote_code: unknown key"):
        load_recipe(tmp_path / "recipe.yaml", [change], installed_plugins().catalog)


def test_the_code_loads_no_pickle() -> None:
    """Every call that could is one that does not: it says so by its arguments."""
    root = Path(__file__).parents[1]
    lines = [
        f"{path.relative_to(root)}: {line.strip()}"
        for folder in ("lmkit", *(str(path) for path in (root / "plugins").glob("*/lmkit_*")))
        for path in (root / folder).rglob("*.py")
        for line in path.read_text().splitlines()
    ]
    loads = ("torch.load(", "pickle.load", "np.load(", "joblib.load", "read_pickle", "allow_pickle=True", "yaml.load(")
    found = [line for line in lines if any(call in line for call in loads) and "weights_only=True" not in line]

    assert found == []
    assert not any("trust_remote_code=True" in line for line in lines)

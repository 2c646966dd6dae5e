"""Fuzzed recipe files: whatever bytes they hold, they load or are told as faults, soon and within bounds."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmkit.catalog import Catalog
from lmkit.errors import RecipeError
from lmkit.recipe.load import load_recipe

SLOWEST = 5.0
"""Seconds that no input may take, on however busy a machine; most take milliseconds."""

WORDS = [
    "adamw",
    "csv",
    "lstm",
    "${env:X}",
    "${env:HOME}",
    "${env:",
    "~",
    "null",
    "no",
    "1e-3",
    "0x1F",
    "0o17",
    "1e999",
    "-.inf",
    ".nan",
    "*a",
    "*b",
    "<<",
]
YAML = ["", "&a [1]", "? a", "- - -", "# only", "%YAML 1.1", "!!python/none a"]
scalars = st.one_of(
    st.sampled_from([*WORDS, *YAML]),
    st.sampled_from(["9" * 300, "9" * 5000, "'" + "x" * 5000 + "'", "|\n  text\n", ">-\n  a\n  b\n"]),
    st.text(max_size=30),
    st.text(st.characters(min_codepoint=0x7F, max_codepoint=0x2FFF), max_size=10),
    st.sampled_from(["\u2028", "\u0085", "\ufeff", "\u202e", "\U0001f600", "a\u0301", "\x00", "\x1b[31m", "\ud7ff"]),
    st.integers().map(str),
    st.floats().map(str),
)
keys = st.one_of(
    st.sampled_from(["name", "seed", "data", "task", "model", "optimizer", "use", "lr", "train", "metrics", "extends"]),
    scalars.filter(lambda text: "\n" not in text),
)


def flow(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(children, max_size=4).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(keys, children, max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    )


values = st.recursive(scalars, flow, max_leaves=12)
nested = st.tuples(st.sampled_from(["[", "{a: ", "- ", "a: ", "? ", "!!x "]), st.integers(1, 3000)).map(
    lambda pair: pair[0] * pair[1]
)


def bomb(depth: int) -> str:
    """A short text whose aliases, followed, are three to the power of `depth` values."""
    return "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, depth))


aliases = st.integers(2, 30).map(bomb)
documents = st.lists(st.tuples(keys, values), max_size=8).map(
    lambda items: "".join(f"{key}: {value}\n" for key, value in items)
)
WHOLE = """name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: {use: lstm, layers: 2}
optimizer: {use: adamw, lr: 1e-3}
train:
  epochs: 2
"""
mangled = st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), scalars | values).map(
    lambda cut: WHOLE[: cut[0]] + cut[2] + WHOLE[cut[0] + cut[1] :]
)
texts = st.one_of(documents, mangled, values, nested, aliases).map(lambda text: text.encode("utf-8", "surrogatepass"))
files = texts | st.binary(max_size=200) | texts.map(lambda text: text.decode("utf-8", "replace").encode("utf-16"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@pytest.mark.parametrize("inputs", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_file_loads_or_is_told_as_faults_soon(catalog: Catalog, folder: Path, inputs: int) -> None:
    path = folder / "recipe.yaml"

    @settings(deadline=None, max_examples=inputs, suppress_health_check=list(HealthCheck))
    @given(content=files)
    def check(content: bytes) -> None:
        path.write_bytes(content)
        began = time.process_time()
        try:
            load_recipe(path, (), catalog)
        except RecipeError as error:
            told = str(error)
            assert error.faults and "Traceback" not in told
            assert len(told.splitlines()) <= 60
            assert all(fault.message for fault in error.faults)
        assert time.process_time() - began < SLOWEST

    check()


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 240_000,
        b"{a: " * 60_000,
        b"- " * 120_000,
        b"a: &a [" + b"x, " * 80_000 + b"]\n",
        b"a: " + b"9" * 240_000,
        b"a: '" + b"x" * 240_000 + b"'",
        b"? " * 100_000,
        b"\n" * 240_000,
        b"a: b: " * 40_000,
        b"".join(b"k%d: 1\n" % number for number in range(18_000)),
        b"a: " + "\U0001f600".encode() * 60_000,
        b"x" * 2_000_000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_huge_file_is_told_within_bounds(catalog: Catalog, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(RecipeError) as raised:
        load_recipe(path, (), catalog)

    assert len(str(raised.value)) < 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # KiB on Linux

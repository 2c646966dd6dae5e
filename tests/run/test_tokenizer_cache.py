"""Tokenizers that are fitted on the training texts are fitted once for equal texts, settings and versions."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lmkit
from lmkit.data.cache import cache_folder, clear_cache
from lmkit.data.ledger import Ledger
from lmkit.data.prepare import Rows
from lmkit.data.tokenizers import build_tokenizers
from lmkit.errors import PluginError
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.plugins import Plugins, load_plugins
from lmkit.recipe.schema import Recipe

PLUGIN = '''
from typing import Literal

from tokenizers import Tokenizer as Backend, models, pre_tokenizers

from lmkit.component import Component
from lmkit.hookspecs import hookimpl
from lmkit.kinds.tokenizer import Tokenizer, TokenizerConfig

CALLS = []


class WordsConfig(TokenizerConfig):
    """Words."""

    use: Literal["words"]

    most: int = 10
    """How many."""


class ReadingConfig(TokenizerConfig):
    """Words, of which a file beside the recipe names some."""

    use: Literal["reading"]


class BareConfig(TokenizerConfig):
    """No texts."""

    use: Literal["bare"]


class OddConfig(TokenizerConfig):
    """What is no plain tokenizer."""

    use: Literal["odd"]

    sort: str
    """Which oddity."""


def words(texts, most=10):
    CALLS.append(1)
    special = ["<p>", "<u>", "<b>", "<e>"]
    known = sorted({word for text in texts() for word in text.split()} - {*special})[:most]
    tokens = [*special, *known]
    backend = Backend(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<u>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(tokens[:4])
    backend.encode_special_tokens = True
    return Tokenizer(backend, 0, 1, 2, 3, extras={"model_max_length": 7, "name": "\\u96ea"})


class Shouting(Tokenizer):
    def encode(self, texts):
        return super().encode([text.upper() for text in texts])


class Reversed:
    def pre_tokenize(self, text):
        pass


def build_words(config, *, texts):
    return words(texts, config.most)


def build_reading(config, *, texts, folder):
    return words(texts)


def build_bare(config):
    return words(lambda: ["a"])


def build_odd(config, *, texts):
    tokenizer = words(texts)
    if config.sort == "a subclass":
        return Shouting(tokenizer.backend, 0, 1, 2, 3)
    if config.sort == "tuples in extras":
        return Tokenizer(tokenizer.backend, 0, 1, 2, 3, extras={"names": ("a", "b")})
    if config.sort == "keys of extras":
        return Tokenizer(tokenizer.backend, 0, 1, 2, 3, extras={1: "a"})
    if config.sort == "objects in extras":
        return Tokenizer(tokenizer.backend, 0, 1, 2, 3, extras={"names": object()})
    if config.sort == "Python inside":
        tokenizer.backend.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Reversed())
        return tokenizer
    if config.sort == "nothing":
        return None
    raise PermissionError(13, "not here")


@hookimpl
def provide_tokenizers():
    return [
        Component(WordsConfig, build=build_words),
        Component(ReadingConfig, build=build_reading),
        Component(BareConfig, build=build_bare),
        Component(OddConfig, build=build_odd),
    ]
'''

TEXTS = ["good film <b>", "bad film", ""]


class Fitting:
    """Builds a recipe's tokenizers with the plugin above, and counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "words_plugin.py"
        self.file.write_text(PLUGIN)
        self.folder = folder
        self.load()

    def load(self, version: str = "1") -> None:
        self.plugins: Plugins = load_plugins(
            [("lmkit", None, "lmkit.builtin.plugin"), ("words", version, str(self.file), True)]
        )

    def __call__(self, tokenizer: dict[str, Any], texts: list[str] = TEXTS, target: Any = None) -> Tokenizer:
        recipe = self.recipe(tokenizer, target)
        columns = {"row": range(len(texts)), "source": texts, "target": [text[::-1] for text in texts]}
        rows = Rows({"train": pa.table(columns)}, (), Ledger(read=len(texts)), "", "")
        return build_tokenizers(recipe, rows, self.folder, self.plugins)[0]

    def recipe(self, tokenizer: dict[str, Any], target: Any) -> Recipe:
        def config(kind: str, **settings: Any) -> Any:
            return self.plugins.catalog.find(kind, settings["use"]).component.config(**settings)

        return Recipe(
            name="given",
            data=config("data", use="jsonl", path="rows.jsonl"),
            task=config("task", use="translation"),
            tokenizer=config("tokenizer", **tokenizer),
            target_tokenizer=config("tokenizer", **target) if target else None,
            model=config("model", use="encoder-decoder"),
            optimizer=config("optimizer", use="adam"),
            scheduler=config("scheduler", use="constant"),
            metrics=(),
        )

    @property
    def calls(self) -> int:
        """How often the plugin's builders were called since it was loaded."""
        return len(self.plugins.catalog.find("tokenizer", "words").component.load().__globals__["CALLS"])


@pytest.fixture
def fitting(tmp_path: Path) -> Fitting:
    return Fitting(tmp_path)


def entries() -> list[Path]:
    return sorted((cache_folder() / "tokenizers").glob("*.json"))


def test_a_third_partys_tokenizer_is_fitted_once_and_read_as_it_was(fitting: Fitting) -> None:
    made = fitting({"use": "words"})
    read = fitting({"use": "words"})

    assert fitting.calls == 1
    assert made is not read
    assert read.to_json() == made.to_json()
    assert read.extras == {"model_max_length": 7, "name": "\u96ea"}
    assert (read.pad, read.unknown, read.begin, read.end, read.mask) == (0, 1, 2, 3, None)
    texts = ["good film", "<b> is text", "", "film"]
    assert read.encode(texts) == made.encode(texts)
    assert read.backend.encode_special_tokens


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"texts": [*TEXTS, "more"]}, id="a text more"),
        pytest.param({"texts": TEXTS[::-1]}, id="another order"),
        pytest.param({"texts": ["good film <b>bad", " film", ""]}, id="other borders"),
        pytest.param({"tokenizer": {"use": "words", "most": 9}}, id="a setting"),
        pytest.param({"target": {"use": "words"}}, id="the source texts alone"),
    ],
)
def test_other_texts_and_settings_fit_anew(fitting: Fitting, change: dict[str, Any]) -> None:
    fitting({"use": "words"})
    before = len(entries())

    fitting(**{"tokenizer": {"use": "words"}, **change})

    assert len(entries()) > before


def test_the_source_and_the_target_tokenizer_are_fitted_on_their_own_texts(fitting: Fitting) -> None:
    source = fitting({"use": "words"}, target={"use": "words"})

    assert (fitting.calls, len(entries())) == (2, 2)
    assert source.backend.token_to_id("film") is not None
    assert source.backend.token_to_id("mlif") is None
    fitting({"use": "words"}, target={"use": "words"})
    assert fitting.calls == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda fitting, patch: fitting.load(version="2"), id="the plugin's version"),
        pytest.param(lambda fitting, patch: patch(lmkit, "__version__", "0.0.0"), id="lmkit's version"),
        pytest.param(
            lambda fitting, patch: patch("lmkit.data.tokenizers._version", lambda name: "0.0.0"), id="the library's"
        ),
        pytest.param(
            lambda fitting, patch: (fitting.file.write_text(PLUGIN.replace("[:most]", "[: most - 1]")), fitting.load()),
            id="the builder's file",
        ),
    ],
)
def test_another_version_of_what_fits_it_fits_anew(
    fitting: Fitting, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any]
) -> None:
    fitting({"use": "words"})

    change(fitting, monkeypatch.setattr)
    fitting({"use": "words"})

    assert len(entries()) == 2


@pytest.mark.parametrize("use", ["reading", "bare"])
def test_what_depends_on_files_or_on_no_texts_is_made_each_time(fitting: Fitting, use: str) -> None:
    fitting({"use": use})
    fitting({"use": use})

    assert (fitting.calls, entries()) == (2, [])


@pytest.mark.parametrize("sort", ["a subclass", "tuples in extras", "keys of extras"])
def test_what_would_not_be_read_as_it_was_is_made_each_time(fitting: Fitting, sort: str) -> None:
    first, second = (fitting({"use": "odd", "sort": sort}) for _ in range(2))

    assert (fitting.calls, entries()) == (2, [])
    assert type(first) is type(second)
    assert first.extras == second.extras


@pytest.mark.parametrize(
    ("sort", "told"),
    [
        (
            "objects in extras",
            "'odd' of words cannot be written, so no model that needs it could be saved: Object of",
        ),
        (
            "Python inside",
            "'odd' of words cannot be written, so no model that needs it could be saved: Custom",
        ),
        ("nothing", "tokenizer 'odd' of words was built as None; a builder returns its component"),
        ("an error", "tokenizer 'odd' of words could not be built .*: PermissionError: .* not here"),
    ],
)
def test_what_is_no_tokenizer_is_told_and_not_kept(fitting: Fitting, sort: str, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        fitting({"use": "odd", "sort": sort})

    assert entries() == []


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: "", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="half"),
        pytest.param(lambda content: content.replace("film", "fiIm"), id="another letter"),
        pytest.param(lambda content: content[:-32], id="without its checksum"),
        pytest.param(lambda content: "[]", id="a list"),
        pytest.param(lambda content: "null", id="nothing"),
        pytest.param(lambda content: '{"digest": 1, "tokenizer": 2}', id="other values"),
        pytest.param(lambda content: "\0" * len(content), id="noughts"),
    ],
)
def test_a_damaged_entry_is_made_anew(fitting: Fitting, damage: Callable[[str], str]) -> None:
    made = fitting({"use": "words"})
    (entry,) = entries()
    whole = entry.read_text()
    assert damage(whole) != whole

    entry.write_text(damage(whole))
    again = fitting({"use": "words"})

    assert fitting.calls == 2
    assert again.to_json() == made.to_json()
    assert entry.read_text() == whole


def test_a_cleared_cache_is_filled_again(fitting: Fitting) -> None:
    fitting({"use": "words"})
    clear_cache()

    assert entries() == []
    fitting({"use": "words"})
    assert (fitting.calls, len(entries())) == (2, 1)


@pytest.mark.parametrize("use", ["wordpiece", "bpe", "byte-level-bpe", "unigram", "char", "whitespace"])
def test_each_builtin_that_is_fitted_is_read_from_the_cache_as_it_was(
    fitting: Fitting, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fitting({"use": use}, ["good film", "good films"])
    monkeypatch.setattr("lmkit.catalog.build", lambda *_, **__: pytest.fail("fitted again"))

    assert fitting({"use": use}, ["good film", "good films"]).to_json() == made.to_json()


def test_two_processes_fit_once(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from lmkit.data.tokenizers import cached_tokenizer
        from lmkit.kinds.tokenizer import Tokenizer, TokenizerConfig
        from tokenizers import Tokenizer as Backend, models

        folder, number = Path(sys.argv[1]), sys.argv[2]

        def make():
            (folder / f"made by {number}").touch()
            time.sleep(0.2)
            return Tokenizer(Backend(models.WordLevel({"a": 0}, unk_token="a")), 0, 0, 0, 0)

        (folder / f"ready {number}").touch()
        while len(list(folder.glob("ready *"))) < 2:
            time.sleep(0.01)
        print(cached_tokenizer(TokenizerConfig(use="x"), make, "x 1", lambda: iter(["a"]), make).vocab_size)
        """
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), number], stdout=subprocess.PIPE, text=True, env=environment
        )
        for number in "ab"
    ]
    told = [worker.communicate(timeout=60)[0].strip() for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0]
    assert told == ["1", "1"]
    assert len(list(tmp_path.glob("made by *"))) == 1
    assert len(entries()) == 1

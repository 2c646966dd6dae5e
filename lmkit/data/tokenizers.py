"""A recipe's tokenizers: fitted on the training texts, once for equal texts, settings and versions."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmkit
from lmkit.answering import Answering
from lmkit.component import ComponentConfig, asked_for
from lmkit.data.cache import FORMAT, TOKENIZERS, cached
from lmkit.data.prepare import Rows
from lmkit.data.sources import described
from lmkit.kinds.tokenizer import Tokenizer, TokenizerConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from lmkit.plugins import Plugins
    from lmkit.recipe.schema import Recipe

Texts = Callable[[], Iterator[str]]

TRIED = 3
"""Training texts that a tokenizer is tried on when it is built."""


def build_tokenizers(recipe: Recipe, rows: Rows, folder: Path, plugins: Plugins) -> tuple[Tokenizer, Tokenizer]:
    """The source and the target tokenizer: one and the same unless the recipe names two."""
    if recipe.target_tokenizer is None:
        texts = training_texts(recipe, rows, ("input", "target"))
        tokenizer = _build_tokenizer(recipe.tokenizer, texts, folder, plugins)
        return tokenizer, tokenizer
    return (
        _build_tokenizer(recipe.tokenizer, training_texts(recipe, rows, ("input",)), folder, plugins),
        _build_tokenizer(recipe.target_tokenizer, training_texts(recipe, rows, ("target",)), folder, plugins),
    )


def training_texts(recipe: Recipe, rows: Rows, roles: tuple[str, ...]) -> Texts:
    """A function that gives the training texts anew: the text and word columns in these roles, row by row."""
    names = [column.name for column in recipe.task.columns if column.role in roles and column.type in ("text", "words")]

    def texts() -> Iterator[str]:
        for batch in rows.splits["train"].select(names).to_batches(max_chunksize=10_000):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                for value in values:
                    yield value if isinstance(value, str) else " ".join(value)

    return texts


def fitted_on_texts(builder: Callable[..., Any]) -> bool:
    """Whether what a builder makes depends on its settings and the training texts, and on nothing else that is offered.

    One that asks for the recipe's folder as well may read files there.
    """
    asked = asked_for(builder)
    return "texts" in asked and "folder" not in asked


def cached_tokenizer(
    config: ComponentConfig, builder: Callable[..., Any], owner: str, texts: Texts, make: Callable[[], Tokenizer]
) -> Tokenizer:
    """The tokenizer that `make` would fit, from the cache where it is there. `owner` names the plugin and its version.

    One that would not be the same when it is read again is made each time.
    """
    key = _key(
        texts, owner, source_hash(builder), lmkit.__version__, library_versions(), config.model_dump(mode="json")
    )
    tokenizer, _ = cached(TOKENIZERS, f"{key}.json", _read, make, _writer)
    return tokenizer


def library_versions() -> dict[str, str | None]:
    """The versions of the libraries that fit tokenizers and encode."""
    return {name: _version(name) for name in ("tokenizers", "sentencepiece")}


def _build_tokenizer(config: TokenizerConfig, texts: Texts, folder: Path, plugins: Plugins) -> Tokenizer:
    """From the cache, where it depends on nothing but its settings and the training texts."""
    builder = plugins.catalog.find("tokenizer", config.use).component.load()
    make = partial(_made_tokenizer, config, texts, folder, plugins)
    if not fitted_on_texts(builder):
        return make()
    return cached_tokenizer(config, builder, plugins.provider("tokenizer", config.use), texts, make)


def _made_tokenizer(config: TokenizerConfig, texts: Texts, folder: Path, plugins: Plugins) -> Tokenizer:
    answering = plugins.catalog.answering("tokenizer", config.use)
    tokenizer = plugins.catalog.build("tokenizer", config, texts=texts, folder=folder)
    if not isinstance(tokenizer, Tokenizer):
        raise answering.wrong(f"was built as a {type(tokenizer).__name__}, not a lmkit.kinds.tokenizer.Tokenizer")
    try:
        tokenizer.to_json()
    except Exception as cause:  # the library raises no narrower one
        what = f"cannot be written, so no model that needs it could be saved: {cause}"
        raise answering.wrong(what) from cause
    _check_encoding(tokenizer, list(islice(texts(), TRIED)), answering)
    return tokenizer


def _check_encoding(tokenizer: Tokenizer, texts: list[str], answering: Answering) -> None:
    """Raise PluginError for a tokenizer that does not encode the first training texts as lists of ids."""
    with answering:
        ids: Any = tokenizer.encode(texts)
    if not isinstance(ids, list) or len(ids) != len(texts):
        what = f"encoded {len(texts)} texts as {described(ids)}; expected as many lists"
        raise answering.wrong(what, tokenizer.encode)
    if not all(isinstance(row, list) and all(isinstance(number, int) for number in row) for row in ids):
        odd = next(row for row in ids if not isinstance(row, list) or not all(isinstance(n, int) for n in row))
        raise answering.wrong(f"encoded a text as {described(odd)}; expected a list of ids", tokenizer.encode)
    largest = max((max(row, default=0) for row in ids), default=0)
    if tokenizer.backend.id_to_token(largest) is None:
        what = f"encoded a text with the id {largest}, which no token of its vocabulary has"
        raise answering.wrong(what, tokenizer.encode)


def _key(texts: Texts, *settings: Any) -> str:
    """A hash of the texts in their order, and of all that makes a tokenizer of them."""
    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps([FORMAT, *settings], sort_keys=True, default=str).encode())
    for text in texts():
        content = text.encode()
        found.update(len(content).to_bytes(8, "little"))
        found.update(content)
    return found.hexdigest()


def source_hash(builder: Callable[..., Any]) -> str | None:
    """A hash of the file that a builder is in, which changes under its author's hands while the version stays."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(builder))
        return hashlib.blake2b(Path(file or "").read_bytes(), digest_size=16).hexdigest()
    except (OSError, TypeError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _writer(tokenizer: Tokenizer) -> Callable[[Path], None] | None:
    """What writes the tokenizer; None for one that is something more than what is written."""
    content = tokenizer.to_json()
    try:
        again = Tokenizer.from_json(content)
    except Exception:  # the library raises no narrower one for what it cannot read
        return None
    if type(tokenizer) is not Tokenizer or again.to_json() != content or again.extras != tokenizer.extras:
        return None
    return partial(_write, content=content)


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def _read(content: pa.Buffer) -> Tokenizer | None:
    """Return the stored tokenizer; None where it is not such a one as this lmkit writes."""
    try:
        return Tokenizer.from_json(str(content, "utf-8"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

"""Rows of the datasets library: from the Hugging Face hub, its cache, or a folder."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lmkit.builtin.data.hub_config import SAVED_SPLITS, SAVED_STATE, HubConfig, wrong_source
from lmkit.errors import DataError, LmkitError, PluginError, ResourceError
from lmkit.kinds.data import SPLITS, file_identity
from lmkit.offline import hub_offline_by

if TYPE_CHECKING:
    import pyarrow as pa


def build_hub(config: HubConfig, *, folder: Path) -> HubSource:
    return HubSource(config, folder)


class HubSource:
    """One dataset, by its id or folder."""

    def __init__(self, config: HubConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder / config.source

    def fingerprint(self) -> str:
        """Changes with a folder's files, and with the commit of a dataset on the hub, which is asked for."""
        found = hashlib.blake2b(self._config.model_dump_json().encode(), digest_size=16)
        if self._folder.is_dir():
            for path in sorted(path for path in self._folder.rglob("*") if path.is_file()):
                found.update(file_identity(path).encode())
        else:
            found.update(str(self._builder.hash).encode())
        return found.hexdigest()

    def load(self) -> pa.Table | Mapping[str, pa.Table]:
        """Raises DataError for what is no dataset or lacks a split, ResourceError where the hub cannot be reached or,
        offline, the cache does not hold it, PluginError without the datasets library."""
        given = self._given()
        tables = {
            split: read_dataset(given[name], f"{self._config.source}, {name}") for split, name in self._used(given)
        }
        return tables["train"] if len(tables) == 1 else tables

    def _given(self) -> Mapping[str, Any]:
        """The library's Dataset for each split."""
        if not self._folder.is_dir():
            with self._library():
                self._builder.download_and_prepare()
                return self._by_split(self._builder.as_dataset())
        if self._config.revision is not None:
            raise DataError(f"{self._folder} is a folder; data.revision is of datasets on the hub")
        with self._library() as datasets:
            if not any((self._folder / name).is_file() for name in (SAVED_SPLITS, SAVED_STATE)):
                _refuse_pattern(self._folder.resolve())
                # The library's own cache goes by times of change, which a copy can put back.
                again = datasets.DownloadMode.FORCE_REDOWNLOAD
                return self._by_split(
                    datasets.load_dataset(str(self._folder.resolve()), self._config.config, download_mode=again)
                )
            if self._config.config is not None:
                raise DataError(f"{self._folder} was saved as one configuration; leave data.config out")
            return self._by_split(datasets.load_from_disk(str(self._folder)))

    def _by_split(self, loaded: Any) -> Mapping[str, Any]:
        return loaded if isinstance(loaded, Mapping) else {"train": loaded}

    def _used(self, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The splits that are used, each with the dataset's name for it."""
        named = [(split, name) for split in SPLITS if (name := getattr(self._config.splits, split)) is not None]
        for split, name in named:
            others = [other for other in given if other not in dict(named).values()]
            likely = [other for other in others if other.startswith(_ALIASES[split])]
            if name not in given and (name != split or split == "train" or likely):
                leave = "" if split == "train" else f", or {{{split}: null}} for none"
                raise DataError(
                    f"{self._config.source} has no split {name!r}; it has {', '.join(map(repr, given)) or 'none'}. "
                    f"Say which is meant: data.splits: {{{split}: {next(iter(likely or others), '…')}}}{leave}"
                )
        return [(split, name) for split, name in named if name in given]

    @cached_property
    def _builder(self) -> Any:
        """The library's builder of a dataset on the hub, which knows its commit and has read no rows."""
        source, revision = self._config.source, self._config.revision
        if (wrong := wrong_source(source, self._folder)) is not None:
            raise DataError(wrong)
        if Path(source).exists():  # which the library would read instead
            raise DataError(
                f"{source!r} is in the current directory ({Path.cwd()}) and not below the recipe's; for the one of the "
                "hub, run in another directory"
            )
        with self._library() as datasets:
            if source in datasets.packaged_modules._PACKAGED_DATASETS_MODULES:  # it would read the current directory
                raise DataError(f"{source!r} is a reader of the datasets library and no dataset; name the owner too")
            builder = datasets.load_dataset_builder(source, self._config.config, revision=revision)
        if revision is not None and type(builder).__module__.endswith("packaged_modules.cache.cache"):
            _refuse_another_commit(source, revision, builder.hash)
        return builder

    @contextmanager
    def _library(self) -> Iterator[ModuleType]:
        """The datasets library, made quiet and, if so wished, offline; its errors told as ours."""
        datasets = datasets_library()
        with _subdued(datasets):
            try:
                yield datasets
            except (LmkitError, MemoryError):
                raise
            except Exception as cause:  # readers of a dozen formats and three network libraries are below
                raise _told(cause, self._config.source, self._folder) from cause


def _refuse_pattern(folder: Path) -> None:
    """Raise DataError for a folder whose path the library would read as a pattern, and so read other folders' files."""
    if glob.escape(str(folder)) != str(folder):
        raise DataError(
            f"the datasets library takes {folder} for a pattern, because of the [, * or ? in it; rename the folder, or "
            "read its files with data.use: csv, jsonl or parquet"
        )


def datasets_library() -> ModuleType:
    """The datasets library. Raises PluginError where it is missing, broken, or so old that it runs datasets' code."""
    try:
        datasets = import_module("datasets")
    except ModuleNotFoundError as cause:
        raise PluginError(f"data.use: hub needs {cause.name}; pip install 'lmkit[hub]'") from cause
    except Exception as cause:  # whatever its own imports raise
        raise PluginError(f"the datasets library cannot be imported: {cause}; pip install 'lmkit[hub]'") from cause
    version = getattr(datasets, "__version__", None)
    if version is None:  # a folder of this name in the current directory
        raise PluginError("data.use: hub needs the datasets library; pip install 'lmkit[hub]'")
    if int(version.partition(".")[0]) < 4:
        raise PluginError(f"datasets {version} may run a dataset's own code; pip install --upgrade 'lmkit[hub]'")
    return datasets


def read_dataset(dataset: Any, where: str) -> pa.Table:
    """All rows of the library's Dataset, its numbered classes as their names and -1, which stands for none, as null.

    Columns of images, audio and other things that are no text stay as they are stored. Raises DataError for a number
    that has no name.
    """
    table = dataset.with_format("arrow")[:]
    for index, column in enumerate(table.column_names):
        names = _class_names(dataset.features[column])
        values = table[column]
        if names is not None:
            values = _named(values, names, f"{where}, column {column!r}")
        table = table.set_column(index, column, values.cast(_plain(values.type)))
    return table


def _class_names(feature: Any) -> list[str] | None:
    """The names of a column of classes, or of lists of them; None for any other."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    return list(feature.names) if type(feature).__name__ == "ClassLabel" else None


def _named(numbers: pa.ChunkedArray, names: list[str], where: str) -> pa.ChunkedArray:
    import pyarrow as pa

    chunks = [_named_chunk(chunk, names, where) for chunk in numbers.chunks]
    return pa.chunked_array(chunks) if chunks else pa.chunked_array([], pa.string())


def _named_chunk(numbers: pa.Array, names: list[str], where: str) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(numbers.type):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(numbers), 0), np.int32)
        offsets = pa.array(np.concatenate([np.zeros(1, np.int32), lengths.cumsum(dtype=np.int32)]))
        inner = _named_chunk(numbers.flatten(), names, where)
        return pa.ListArray.from_arrays(offsets, inner, mask=numbers.is_null())
    none = pc.equal(numbers, -1)
    known = pc.if_else(none, pa.scalar(None, numbers.type), numbers)
    wrong = [number for number in pc.unique(known).to_pylist() if number is not None and not 0 <= number < len(names)]
    if wrong:
        raise DataError(f"{where}: {wrong[0]} is none of its {len(names)} classes {', '.join(map(repr, names[:8]))}")
    return pa.array(names, pa.string()).take(known)


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type with text and lists in their usual form, whatever their offsets."""
    import pyarrow as pa

    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type))
    return kind


_ALIASES = {"train": ("train",), "validation": ("dev", "val", "eval"), "test": ("test",)}
"""How splits begin that are probably meant."""


def _refuse_another_commit(source: str, revision: str, commit: str) -> None:
    """The library answers from its cache where it cannot reach the hub, with the newest, whatever the revision."""
    from huggingface_hub import try_to_load_from_cache

    if revision == commit:
        return
    readme = try_to_load_from_cache(source, "README.md", repo_type="dataset", revision=revision)
    if not isinstance(readme, str) or Path(readme).parent.name != commit:
        raise ResourceError(
            f"the hub cannot be reached, and the newest of {source!r} in its cache is commit {commit}, which is not "
            f"known to be the revision {revision!r}; run it once with the network, or say data.revision: {commit}"
        )


@contextmanager
def _subdued(datasets: ModuleType) -> Iterator[None]:
    """No progress bars, no counting of downloads, no telemetry; no network where the environment says so."""
    import huggingface_hub as hub

    with ExitStack() as restored:

        def put(module: Any, name: str, value: object) -> None:
            restored.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)

        put(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        put(hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
        for bars in (datasets.utils, hub.utils):
            if not bars.are_progress_bars_disabled():
                bars.disable_progress_bars()
                restored.callback(bars.enable_progress_bars)
        if hub_offline_by("HF_DATASETS_OFFLINE") is not None:
            put(datasets.config, "HF_HUB_OFFLINE", True)
            put(hub.constants, "HF_HUB_OFFLINE", True)
            restored.callback(datasets.logging.set_verbosity, datasets.logging.get_verbosity())
            datasets.logging.set_verbosity_error()  # that the cache is read needs no warning then
        yield


def _told(cause: Exception, source: str, folder: Path) -> LmkitError:
    """What the library raised, as an error of ours with a way out."""
    said, kinds = _said(cause), {kind.__name__ for kind in type(cause).__mro__}
    unreachable = isinstance(cause, ConnectionError | TimeoutError) or "TransportError" in kinds
    if unreachable or "Couldn't find cache" in said:
        if (setting := hub_offline_by("HF_DATASETS_OFFLINE")) is not None:
            return ResourceError(
                f"{source!r} is no folder ({folder}), and the hub's cache does not hold it, which is all that is read "
                f"while {setting} is set: {said}. Unset it for one run"
            )
        return ResourceError(
            f"{source!r} is no folder ({folder}), and the Hugging Face hub could not be reached for it: {said}. Check "
            "the network, or save the dataset to a folder (save_to_disk) and name that"
        )
    if "DatasetNotFoundError" in kinds:
        return DataError(
            f"{source!r} is no folder ({folder}), and the hub does not give it: {said}. One that is private or gated "
            "needs `hf auth login`, or its token in HF_TOKEN"
        )
    if any(words in said for words in ("BuilderConfig", "Config name is missing", "configurations in the cache")):
        return DataError(f"{source!r}: {said}. Say which is meant, as data.config: NAME")
    if "scripts are no longer supported" in said:
        return DataError(f"{source!r} is a program, and no code of a dataset is run; look for a copy of it in Parquet")
    root: BaseException = cause
    while root.__cause__ is not None:
        root = root.__cause__
    why = said if root is cause else f"{said}: {_said(root)}"
    if isinstance(root, OSError) and not isinstance(root, FileNotFoundError):
        return ResourceError(f"{source!r} cannot be had: {why}")
    return DataError(f"{source!r} cannot be read by the datasets library: {type(root).__name__}: {why}")


def _said(error: BaseException) -> str:
    """The first two lines of what it says, or its name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:500].rstrip(".") or type(error).__name__

"""The hub source: saved folders, folders of data files, the hub's cache, and every refusal with a way out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from lmkit.builtin.data.hub import HubSource, build_hub, datasets_library, read_dataset
from lmkit.builtin.data.hub_config import HubConfig
from lmkit.errors import DataError, PluginError, ResourceError

COMMITS = ("a" * 40, "b" * 40)


def hub_config(**settings: Any) -> HubConfig:
    return HubConfig.model_validate_json(json.dumps({"use": "hub", **settings}))


def hub_source(folder: Path, source: str, **settings: Any) -> HubSource:
    return build_hub(hub_config(source=source, **settings), folder=folder)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The library, with a cache of its own and without the network."""
    library: ModuleType = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("LMKIT_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return library


@pytest.fixture
def reviews(datasets: ModuleType) -> Any:
    """Three rows with a numbered class, of which the last one's is not told."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = {"text": ["a fine film", "a dull one", "no verdict"], "label": [1, 0, -1]}
    return datasets.Dataset.from_dict(rows, features=features)


REVIEWS = [
    {"text": "a fine film", "label": "good"},
    {"text": "a dull one", "label": "bad"},
    {"text": "no verdict", "label": None},
]


def test_a_saved_dataset_gives_one_table_with_its_classes_by_name(tmp_path: Path, reviews: Any) -> None:
    reviews.save_to_disk(tmp_path / "saved")

    rows = hub_source(tmp_path, "saved").load()

    assert isinstance(rows, pa.Table)
    assert rows.schema.types == [pa.string(), pa.string()]
    assert rows.to_pylist() == REVIEWS


def test_a_saved_dict_gives_its_splits_by_their_names_or_others(
    tmp_path: Path, datasets: ModuleType, reviews: Any
) -> None:
    parts = {"train": reviews, "dev": reviews.select([1]), "test": reviews.select([2, 0]), "unsupervised": reviews}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")

    rows = hub_source(tmp_path, "saved", splits={"validation": "dev"}).load()

    assert {split: table.to_pylist() for split, table in rows.items()} == {  # type: ignore[union-attr]
        "train": REVIEWS,
        "validation": [REVIEWS[1]],
        "test": [REVIEWS[2], REVIEWS[0]],
    }
    assert list(hub_source(tmp_path, "saved", splits={"validation": None}).load()) == ["train", "test"]
    assert isinstance(hub_source(tmp_path, "saved", splits={"validation": None, "test": None}).load(), pa.Table)


@pytest.mark.parametrize(
    ("names", "splits", "told"),
    [
        (
            ["train", "dev"],
            {},
            r"no split 'validation'; it has 'train', 'dev'.*{validation: dev}, or {validation: null}",
        ),
        (["train", "validation_matched"], {}, r"data\.splits: {validation: validation_matched}"),
        (["test"], {}, r"no split 'train'; it has 'test'\. .*data\.splits: {train: …}$"),
        (["train"], {"test": "heldout"}, r"no split 'heldout'; it has 'train'"),
    ],
)
def test_splits_that_are_not_there_are_told_with_those_that_are(
    tmp_path: Path, datasets: ModuleType, reviews: Any, names: list[str], splits: dict[str, str], told: str
) -> None:
    datasets.DatasetDict(dict.fromkeys(names, reviews)).save_to_disk(tmp_path / "saved")

    with pytest.raises(DataError, match=told):
        hub_source(tmp_path, "saved", splits=splits).load()


def test_tags_become_their_names_and_lists_and_texts_of_any_size_the_usual_ones(
    tmp_path: Path, datasets: ModuleType
) -> None:
    tag = datasets.ClassLabel(names=["O", "B-PER"])
    features = datasets.Features(
        {
            "tokens": datasets.LargeList(datasets.Value("large_string")),
            "tags": datasets.List(tag),
            "pair": datasets.List(tag, length=2),
            "nested": datasets.List(datasets.List(tag)),
            "picture": {"bytes": datasets.Value("binary")},
        }
    )
    rows = {
        "tokens": [["Ada", "was", "here"], [], None, ["."]],
        "tags": [[1, 0, 0], [], None, [0]],
        "pair": [[0, 1], [1, 1], None, [0, 0]],
        "nested": [[[0], [1, 1]], [], None, [[]]],
        "picture": [{"bytes": b"\x00"}] * 4,
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")

    table = hub_source(tmp_path, "saved").load()

    listed = pa.list_(pa.string())
    assert table.schema.types[:4] == [listed, listed, listed, pa.list_(listed)]  # type: ignore[union-attr]
    assert table.to_pydict() == rows | {  # type: ignore[union-attr]
        "tags": [["B-PER", "O", "O"], [], None, ["O"]],
        "pair": [["O", "B-PER"], ["B-PER", "B-PER"], None, ["O", "O"]],
        "nested": [[["O"], ["B-PER", "B-PER"]], [], None, [[]]],
    }


def test_rows_that_were_chosen_or_formatted_before_saving_are_read_as_chosen(
    tmp_path: Path, datasets: ModuleType, reviews: Any
) -> None:
    reviews.select([2, 0]).with_format("numpy", columns=["label"]).save_to_disk(tmp_path / "saved")

    assert hub_source(tmp_path, "saved").load().to_pylist() == [REVIEWS[2], REVIEWS[0]]  # type: ignore[union-attr]
    assert read_dataset(reviews.select([]), "none").to_pylist() == []


def test_a_number_without_a_name_is_refused(tmp_path: Path, datasets: ModuleType) -> None:
    label = datasets.ClassLabel(names=["bad", "good"])
    table = pa.table({"label": pa.array([0, 7], pa.int64())})
    datasets.Dataset(table.replace_schema_metadata(None), info=None).save_to_disk(tmp_path / "saved")
    description = tmp_path / "saved" / "dataset_info.json"
    told = json.loads(description.read_text())
    told["features"] = datasets.Features({"label": label}).to_dict()
    description.write_text(json.dumps(told))

    with pytest.raises(DataError, match="column 'label': 7 is none of its 2 classes 'bad', 'good'"):
        hub_source(tmp_path, "saved").load()


def test_a_folder_of_parquet_files_is_read_again_when_it_changes(tmp_path: Path, datasets: ModuleType) -> None:
    (tmp_path / "files").mkdir()
    for split, texts in {"train": ["a", "b"], "test": ["c"]}.items():
        pq.write_table(pa.table({"text": texts}), tmp_path / "files" / f"{split}.parquet")

    rows = hub_source(tmp_path, "files").load()
    first = hub_source(tmp_path, "files").fingerprint()
    pq.write_table(pa.table({"text": ["x", "y"]}), tmp_path / "files" / "train.parquet")
    again = hub_source(tmp_path, "files").load()

    assert {split: table.to_pydict() for split, table in rows.items()} == {  # type: ignore[union-attr]
        "train": {"text": ["a", "b"]},
        "test": {"text": ["c"]},
    }
    assert again["train"].to_pydict() == {"text": ["x", "y"]}
    assert hub_source(tmp_path, "files").fingerprint() != first


def test_a_file_of_a_folder_that_changes_behind_its_old_size_and_time_is_read_again(
    tmp_path: Path, datasets: ModuleType
) -> None:
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / "train.csv"
    file.write_text("text,label\nfine,pos\n")
    first = hub_source(tmp_path, "files")
    before, state = first.fingerprint(), file.stat()
    assert first.load().column("label").to_pylist() == ["pos"]  # type: ignore[union-attr]

    file.write_text("text,label\nfine,neg\n")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert hub_source(tmp_path, "files").load().column("label").to_pylist() == ["neg"]  # type: ignore[union-attr]
    assert hub_source(tmp_path, "files").fingerprint() != before


def test_a_folder_that_the_library_would_take_for_a_pattern_is_refused(tmp_path: Path, datasets: ModuleType) -> None:
    for name in ("run[1]", "run1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text("text,label\nfine,pos\n")

    with pytest.raises(DataError, match=r"takes .*run\[1\] for a pattern.*rename the folder"):
        hub_source(tmp_path, "run[1]").load()


@pytest.fixture
def cached(tmp_path: Path, datasets: ModuleType, reviews: Any) -> Path:
    """A hub dataset in the library's cache, as it lies there after having been read at one commit."""
    folder = tmp_path / "cache" / "acme___reviews" / "default" / "0.0.0" / COMMITS[0]
    reviews.save_to_disk(tmp_path / "saved")
    folder.mkdir(parents=True)
    (tmp_path / "saved" / "data-00000-of-00001.arrow").rename(folder / "reviews-train.arrow")
    split = {"name": "train", "num_bytes": 1, "num_examples": 3, "dataset_name": "reviews"}
    told = json.loads((tmp_path / "saved" / "dataset_info.json").read_text())
    told |= {"config_name": "default", "dataset_name": "reviews", "splits": {"train": split}}
    (folder / "dataset_info.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("variable", ["LMKIT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_a_dataset_is_read_from_the_cache(
    tmp_path: Path, cached: Path, variable: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LMKIT_OFFLINE")
    monkeypatch.setenv(variable, "1")
    source = hub_source(tmp_path, "acme/reviews")

    before = source.fingerprint()

    assert source.load().to_pylist() == REVIEWS  # type: ignore[union-attr]
    assert source.fingerprint() == before == hub_source(tmp_path, "acme/reviews").fingerprint()
    assert "".join(capfd.readouterr()) == ""


def test_offline_no_other_revision_is_read_than_the_one_asked_for(tmp_path: Path, cached: Path) -> None:
    assert hub_source(tmp_path, "acme/reviews", revision=COMMITS[0]).load().num_rows == 3  # type: ignore[union-attr]
    for other in (COMMITS[1], "v2"):
        with pytest.raises(
            ResourceError, match=rf"is commit {COMMITS[0]}, which is not known to be the revision '{other}'"
        ):
            hub_source(tmp_path, "acme/reviews", revision=other).load()


def test_the_fingerprint_changes_with_the_commit(tmp_path: Path, cached: Path) -> None:
    first = hub_source(tmp_path, "acme/reviews").fingerprint()
    cached.rename(cached.with_name(COMMITS[1]))

    assert hub_source(tmp_path, "acme/reviews").fingerprint() != first


def test_offline_a_dataset_or_configuration_that_is_not_in_the_cache_is_told(tmp_path: Path, cached: Path) -> None:
    with pytest.raises(
        ResourceError, match="'acme/films' is no folder .* cache does not hold it.*LMKIT_OFFLINE.*Unset it"
    ):
        hub_source(tmp_path, "acme/films").load()
    with pytest.raises(ResourceError, match=r"for config 'de' Available configs in the cache: \['default'\]"):
        hub_source(tmp_path, "acme/reviews", config="de").load()


def test_the_librarys_own_settings_are_left_as_they_were(tmp_path: Path, datasets: ModuleType, cached: Path) -> None:
    import huggingface_hub as hub

    def settings() -> list[Any]:
        bars = [library.are_progress_bars_disabled() for library in (datasets.utils, hub.utils)]
        return [*bars, datasets.config.HF_HUB_OFFLINE, hub.constants.HF_HUB_OFFLINE, datasets.logging.get_verbosity()]

    before = settings()

    hub_source(tmp_path, "acme/reviews").load()

    assert settings() == before


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (
            "DatasetNotFoundError:Dataset 'a/b' doesn't exist on the Hub or cannot be accessed.",
            DataError,
            "hf auth login",
        ),
        ("DatasetNotFoundError:Dataset 'a/b' is a gated dataset on the Hub.", DataError, "HF_TOKEN"),
        ("DatasetNotFoundError:Revision 'v9' doesn't exist for dataset", DataError, "Revision 'v9' doesn't exist"),
        ("DataFilesNotFoundError:No (supported) data files found in a/b", DataError, "No .supported. data files"),
        ("NonMatchingSplitsSizesError:[{'expected': 3}]", DataError, "NonMatchingSplitsSizesError"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub"), ResourceError, "save_to_disk"),
        (TimeoutError("slow"), ResourceError, "Check the network"),
        (type("TransportError", (Exception,), {})("refused"), ResourceError, "could not be reached for it: refused"),
        (OSError(28, "No space left on device"), ResourceError, "No space left on device"),
        (
            ValueError("BuilderConfig 'x' not found. Available: ['de', 'en']"),
            DataError,
            r"\['de', 'en'\].*data\.config: NAME",
        ),
        (
            ValueError("Config name is missing.\nPlease pick one among: ['de']\nExample"),
            DataError,
            r"\['de'\]\. Say which",
        ),
        (
            RuntimeError("Dataset scripts are no longer supported, but found b.py"),
            DataError,
            "no code of a dataset is run",
        ),
        (KeyError("features"), DataError, "'a/b' cannot be read by the datasets library: KeyError"),
    ],
)
def test_what_the_library_raises_is_told_with_a_way_out(
    tmp_path: Path,
    datasets: ModuleType,
    raised: str | Exception,
    kind: type[Exception],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        if isinstance(raised, str):
            name, _, message = raised.partition(":")
            raise getattr(datasets.exceptions, name)(message)
        raise raised

    monkeypatch.delenv("LMKIT_OFFLINE")
    monkeypatch.setattr(datasets, "load_dataset_builder", fails)

    with pytest.raises(kind, match=told):
        hub_source(tmp_path, "a/b").load()


def test_a_file_that_spoils_the_reading_is_told_with_its_cause(tmp_path: Path, datasets: ModuleType) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.parquet").write_bytes(b"PAR1 and no more")

    with pytest.raises(DataError, match="'files' cannot be read by the datasets library: .*[Pp]arquet"):
        hub_source(tmp_path, "files").load()


@pytest.mark.parametrize(
    ("source", "settings", "told"),
    [
        ("./nowhere", {}, "there is no folder .*nowhere, and './nowhere' is no id"),
        ("a/b/c", {}, "is no id of the Hugging Face hub"),
        ("csv", {}, "'csv' is a reader of the datasets library and no dataset"),
        ("rows.csv", {}, "is a file; a folder or an id was expected"),
        ("saved", {"revision": "main"}, r"is a folder; data\.revision is of datasets on the hub"),
        ("saved", {"config": "de"}, r"saved as one configuration; leave data\.config out"),
        ("bare", {}, "'bare' cannot be read by the datasets library"),
    ],
)
def test_a_source_that_is_neither_folder_nor_id_is_told(
    tmp_path: Path, reviews: Any, source: str, settings: dict[str, str], told: str
) -> None:
    (tmp_path / "rows.csv").write_text("text\n")
    (tmp_path / "bare").mkdir()
    reviews.save_to_disk(tmp_path / "saved")

    with pytest.raises(DataError, match=told):
        hub_source(tmp_path, source, **settings).load()


def test_a_folder_of_the_current_directory_is_not_read_for_one_on_the_hub(
    tmp_path: Path, datasets: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "acme" / "reviews").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")

    with pytest.raises(DataError, match="'acme/reviews' is in the current directory .* run in another directory"):
        hub_source(tmp_path, "acme/reviews").load()


def test_the_columns_of_a_saved_folder_are_known_before_anything_is_read(
    tmp_path: Path, datasets: ModuleType, reviews: Any
) -> None:
    reviews.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"learn": reviews}).save_to_disk(tmp_path / "parts")

    assert hub_config(source="one").column_names(tmp_path) == ("text", "label")
    assert hub_config(source="parts", splits={"train": "learn"}).column_names(tmp_path) == ("text", "label")
    for unknown in ("parts", "absent", "acme/reviews", "${env:DATA}"):
        assert hub_config(source=unknown).column_names(tmp_path) is None


def test_two_splits_of_one_name_are_a_fault_of_the_recipe() -> None:
    with pytest.raises(ValidationError, match="train and test are both 'test'; give one another name, or null"):
        hub_config(source="acme/reviews", splits={"train": "test"})
    with pytest.raises(ValidationError, match="splits.train"):
        hub_config(source="acme/reviews", splits={"train": None})


@pytest.mark.parametrize(
    ("version", "told"),
    [(None, r"needs the datasets library; pip install 'lmkit\[hub\]'"), ("3.6.0", "may run a dataset's own code")],
    ids=["a folder called datasets", "an old version"],
)
def test_a_library_that_is_none_or_too_old_is_refused(
    version: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModuleType("datasets")
    if version:
        other.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", other)

    with pytest.raises(PluginError, match=told):
        datasets_library()


def test_without_the_library_it_is_told_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(PluginError, match=r"pip install 'lmkit\[hub\]'"):
        hub_source(tmp_path, "acme/reviews").load()

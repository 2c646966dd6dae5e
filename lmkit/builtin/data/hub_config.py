"""Settings of datasets of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmkit.component import RelativePath, Settings
from lmkit.kinds.data import SPLITS, DataConfig

SplitName = Annotated[str, Field(min_length=1)]


class HubSplitsConfig(Settings):
    """What the dataset calls its splits. One that has its usual name is used where the dataset has it; any other name
    must be there; null leaves a split out."""

    train: SplitName = "train"
    """The split that the model learns from. Where it is the only one used, its rows are divided by `split`."""

    validation: SplitName | None = "validation"
    """The split that is watched during training, such as `dev`."""

    test: SplitName | None = "test"
    """The split that is measured once, at the end."""

    @model_validator(mode="after")
    def _no_rows_are_in_two_splits(self) -> HubSplitsConfig:
        named = [(split, name) for split in SPLITS if (name := getattr(self, split)) is not None]
        for index, (split, name) in enumerate(named):
            other = next((other for other, same in named[:index] if same == name), None)
            if other:
                raise ValueError(f"{other} and {split} are both {name!r}; give one another name, or null")
        return self


class HubConfig(DataConfig):
    """A dataset of the Hugging Face hub, or a folder that `save_to_disk` of the datasets library wrote. Labels that the
    dataset has names for are read as these. Needs `pip install 'lmkit[hub]'`. With LMKIT_OFFLINE=1 or HF_HUB_OFFLINE=1
    only what is in the hub's cache is read. No code of a dataset is ever run."""

    use: Literal["hub"]

    source: Annotated[str, RelativePath(may_be_something_else=True), Field(min_length=1)]
    """A dataset's id on the hub, as `stanfordnlp/imdb`; or a folder, relative to the recipe: one written by
    `save_to_disk`, or one of data files laid out as on the hub."""

    config: str | None = None
    """The dataset's configuration, where it has several (a language, a task of a collection)."""

    revision: str | None = None
    """The hub repository's commit, tag or branch. Pin a commit to get the same rows again."""

    splits: HubSplitsConfig = HubSplitsConfig()
    """What the dataset calls its splits, where it is not train, validation and test."""

    def unreadable(self, folder: Path) -> Mapping[str, str]:
        wrong = None if "${env:" in self.source else wrong_source(self.source, folder / self.source)
        return {} if wrong is None else {"source": wrong}

    def column_names(self, folder: Path) -> tuple[str, ...] | None:
        """Those that a saved folder's description names; None for what is on the hub."""
        if "${env:" in self.source:
            return None
        saved = folder / self.source
        try:
            saved = saved / self.splits.train if (saved / SAVED_SPLITS).is_file() else saved
            if not (saved / SAVED_STATE).is_file():
                return None
            return tuple(json.loads((saved / SAVED_INFO).read_text(encoding="utf-8"))["features"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None


ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
"""How an id on the hub is written: a name, most often behind its owner's."""


def wrong_source(source: str, path: Path) -> str | None:
    """What is wrong with a source that is neither a folder nor an id on the hub; None for one that may be either."""
    if path.is_file():
        return f"{path} is a file; a folder or an id was expected. Files are read by csv, jsonl, …"
    if not path.is_dir() and (not ID.fullmatch(source) or source.startswith(".")):
        return f"there is no folder {path}, and {source!r} is no id of the Hugging Face hub"
    return None


SAVED_SPLITS = "dataset_dict.json"
"""In the folder of a saved DatasetDict, which has a folder for each of its splits."""

SAVED_STATE = "state.json"
"""In the folder of a saved Dataset."""

SAVED_INFO = "dataset_info.json"
"""Beside it: the columns and their types."""

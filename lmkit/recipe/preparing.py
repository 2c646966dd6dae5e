"""Preparing: a block as its settings class has it, old keys and the paths of base files put right."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, get_args

from pydantic import BaseModel

from lmkit.component import RelativePath, Settings
from lmkit.errors import Fault, Place
from lmkit.recipe.document import Node
from lmkit.recipe.layers import COMMAND_LINE
from lmkit.recipe.shape import BLOCKS, LISTS, Path, dotted, settings_in


@dataclass(frozen=True, slots=True)
class Preparation:
    """Prepares the blocks of one recipe, which lies in `folder`, and keeps what there is to say about them."""

    folder: FilePath | None
    """None for a complete recipe, whose paths need no change."""
    faults: list[Fault] = field(default_factory=list)
    notices: list[Fault] = field(default_factory=list)
    """Of keys that are read under their old names."""

    def prepared(self, node: Node, model: type[BaseModel], path: Path, owner: str) -> Node:
        """The node with old keys under their new names, and paths of base files relative to the recipe's folder."""
        if not isinstance(node.value, dict):
            return node
        renamed = model.renamed if issubclass(model, Settings) else {}
        children: dict[str, Node] = {}
        places: dict[str, Place] = {}
        for key, child in node.value.items():
            name, place = renamed.get(key, key), node.key_place(key)
            if name != key:
                self._renamed(node, key, name, path, owner)
            if name in children and places[name].source == place.source:
                continue
            known = model.model_fields.get(name)
            inner = settings_in(known.annotation) if known is not None and name not in BLOCKS | LISTS else []
            if len(inner) == 1:
                child = self.prepared(child, inner[0], (*path, name), owner)
            if known is not None:
                child = self._rebased(child, _relative_path(known.annotation, known.metadata))
            children[name], places[name] = child, place
        return Node(children, node.place, places)

    def _renamed(self, node: Node, old: str, new: str, path: Path, owner: str) -> None:
        at, place = dotted((*path, old)), node.key_place(old)
        if new in node.value and node.key_place(new).source == place.source:
            self.faults.append(Fault(place, at, f"is the old name of {new!r}, which is given too", owner=owner))
        else:
            message = f"is called {new!r} now; the old name is read until the next minor version"
            self.notices.append(Fault(place, at, message, owner=owner))

    def _rebased(self, node: Node, marker: RelativePath | None) -> Node:
        """A path that is relative to the base file it is written in, relative to the recipe's folder."""
        if marker is not None and isinstance(node.value, list):
            return Node([self._rebased(child, marker) for child in node.value], node.place)
        source, text = node.place.source, node.value
        if marker is None or self.folder is None or not isinstance(text, str) or source.startswith(COMMAND_LINE):
            return node
        beside = FilePath(source).parent
        if beside == self.folder or os.path.isabs(os.path.expanduser(text)) or text.startswith("${env:"):
            return node
        if marker.may_be_something_else and not (beside / text).exists():
            return node
        folder = os.path.relpath(beside, self.folder)
        if glob.escape(text) != text and not (beside / text).exists():
            folder = glob.escape(folder)  # what is written is a pattern, the folder it is joined to is not
        return Node(os.path.join(folder, text), node.place)


def _relative_path(annotation: Any, metadata: Iterable[Any]) -> RelativePath | None:
    """The marker of a field that holds a path, also where that is one of several types."""
    inner = [item for part in get_args(annotation) for item in getattr(part, "__metadata__", ())]
    return next((item for item in (*metadata, *inner) if isinstance(item, RelativePath)), None)

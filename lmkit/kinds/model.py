"""Models are torch modules that map a batch to an output.

A builder is offered `tokenizer`, `target_tokenizer` (the same one where a recipe names none), `head`,
`features` (those of the training rows) and the recipe's `folder`; it returns a `torch.nn.Module` with
`forward(batch) -> Output`.

A model for a sequence-to-sequence head also has `encode(batch) -> cache` and `step(ids, cache) -> (logits, cache)`,
so that text can be generated token by token. One that can recompute activations has
`gradient_checkpointing_enable()`. One may have `shards()`, the modules that `strategy: fsdp` divides among
the ranks one by one, whose weights nothing but their own forward reads; by default these are the members of its
`ModuleList`s. One that reads only so many tokens of a text has their number as `positions`, or None: longer texts are
cut there, whatever `task.max_length` says, and counted.

To open a trained model again, its builder is called without training rows: `features` is None, and the saved weights
are loaded into what it returns. A model with a file format of its own has `save(folder)`, and its builder asks for
`saved` too: None, or the folder that `save` wrote to, from which it then returns the trained model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from lmkit.component import ComponentConfig
from lmkit.kinds.heads import Head

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

Batch = dict[str, "Tensor"]
"""Tensors by name; rows are padded at their end. Always `input_ids` (B, T) and `attention_mask` (B, T), true where
a token is; `labels` (B,) or (B, T) for tasks with labels; `target_ids` (B, U) for tasks that generate text."""


class ModelConfig(ComponentConfig):
    """What every model's settings have in common: nothing yet but their name."""

    head_types: ClassVar[tuple[type[Head], ...]] = ()
    """The heads that the model can have. A recipe whose task needs another is a fault. Empty: any is tried."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a model returns."""

    logits: Tensor
    """The scores, in the shape that the head needs: (B, C) for a sequence head, (B, T, C) for a token head."""
    hidden: Tensor | None = None
    """(B, T, D) the last layer's states, where the model has them to give."""


class Generator(Protocol):
    """What a model adds to its forward so that text can be generated."""

    def encode(self, batch: Batch) -> Any:
        """Read the input once; the cache that `step` starts from."""
        ...

    def step(self, ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """From the newest tokens (B,), the logits (B, V) of the next and the cache that includes them."""
        ...


class SavesItself(Protocol):
    """A model with a file format of its own, such as those of transformers."""

    def save(self, folder: Path) -> None:
        """Write config and weights (safetensors) so that the format's own library loads them, and so does the model's
        builder when it is given the folder as `saved`."""
        ...

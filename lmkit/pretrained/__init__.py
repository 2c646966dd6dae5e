"""Pretrained models and tokenizers of the transformers library as lmkit's: public, for builders.

Weights stay transformers' own modules, so what a run saves is what `from_pretrained` loads.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmkit.errors import DataError, LmkitError, PluginError, ResourceError
from lmkit.kinds.heads import Head, SequenceHead, TokenHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Features, Ragged
from lmkit.kinds.tokenizer import SPLITS_SPECIAL, Tokenizer
from lmkit.offline import hub_offline_by
from lmkit.pretrained.attention import PLAIN, quicken_bert, register_attention
from lmkit.pretrained.embedding import PartlyTrainedEmbedding
from lmkit.pretrained.heads import fit_head
from lmkit.pretrained.reading import PLAIN_FAMILIES, count_positions, scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST = 0.7
"""Training that reads a larger share of the vocabulary trains all of its embeddings."""

SHORT = 256
"""Up to so many tokens, attention by plain matrix products beats torch's fused kernel on CPUs."""


def pretrained_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer saved in `folder` (tokenizer.json, tokenizer_config.json).

    Raises DataError for a folder without a fast tokenizer, or one whose special tokens have no names.
    """
    from tokenizers import Tokenizer as Backend

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise DataError(f"{folder} holds no tokenizer.json, the form in which fast tokenizers are saved")
    try:
        backend = Backend.from_file(str(file))
    except Exception as cause:  # it raises nothing more precise
        raise DataError(f"{file} is no saved tokenizer: {cause}") from cause
    backend.no_truncation()
    backend.no_padding()
    config = _json(folder / "special_tokens_map.json") | _json(folder / "tokenizer_config.json")
    backend.encode_special_tokens = config.get(SPLITS_SPECIAL) is True

    def number(*keys: str) -> int | None:
        for key in keys:
            token = config.get(key)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and (found := backend.token_to_id(token)) is not None:
                return int(found)
        return None

    begin, end = number("cls_token", "bos_token"), number("sep_token", "eos_token")
    pad = number("pad_token", "eos_token")
    if begin is None or end is None or pad is None:
        raise DataError(f"{folder / 'tokenizer_config.json'} names no begin, end or padding token")
    unknown = number("unk_token")
    kept: dict[str, Any] = {
        key: config[key] for key in ("do_lower_case", "model_max_length", "strip_accents") if key in config
    }
    return Tokenizer(backend, pad, pad if unknown is None else unknown, begin, end, number("mask_token"), kept)


def ids_read(features: Features, tokenizer: Tokenizer) -> NDArray[np.int64]:
    """The token ids that training will read, each once: those of the training rows and padding."""
    column = features.columns["input_ids"]
    assert isinstance(column, Ragged)  # by the contract of tasks
    return np.unique(np.append(column.values, tokenizer.pad)).astype(np.int64)


def pretrained_model(
    folder: Path,
    head: Head,
    *,
    dropout: float | None = None,
    read: NDArray[np.int64] | None = None,
    tokenizer: Tokenizer | None = None,
) -> nn.Module:
    """A transformers model for a `sequence` or `token` head, with the weights in `folder`.

    With `read`, the ids that training will read, embeddings of other tokens stay as they are: they have
    no gradient anyway, and an optimizer that need not visit them takes up to a fifth less time.

    The head's own weights are new, unless the folder has some for labels of the same names: these are kept, in the
    order of `head.labels`. A model that needs a padding id and has none, such as GPT-2, takes that of `tokenizer`.
    Only safetensors are loaded and no code from the folder runs. Raises PluginError for a head it has no class for.
    """
    model, report, saved = _load(folder, head, dropout, tokenizer.pad if tokenizer else None)
    fit_head(model, report, head.labels, saved)
    embedding = model.get_input_embeddings()
    if read is not None and read.max() >= embedding.num_embeddings:
        raise DataError(
            f"the tokenizer has ids up to {read.max()}, the weights embed {embedding.num_embeddings}: "
            "a pretrained model goes with its own tokenizer"
        )
    if read is not None and type(embedding) is nn.Embedding and len(read) < embedding.num_embeddings * MOST:
        model.set_input_embeddings(PartlyTrainedEmbedding(embedding, torch.from_numpy(read)))
    return PretrainedModel(model)


def restored_model(folder: Path, head: Head) -> nn.Module:
    """The model that `PretrainedModel.save` wrote to `folder`, head and all.

    Raises DataError where the folder lacks a weight or has one too many.
    """
    model, report, _ = _load(folder, head)
    wrong = [f"{len(names)} {what.replace('_', ' ')}" for what, names in report.items() if names]
    if wrong:
        raise DataError(f"{folder} does not hold the whole of this model: {', '.join(wrong)}")
    return PretrainedModel(model)


def _load(
    folder: Path, head: Head, dropout: float | None = None, pad: int | None = None
) -> tuple[PreTrainedModel, dict[str, Any], Any]:
    """The network for this head with the weights in `folder`; which weights were missing, too many or misshapen; and
    the configuration that they were saved with."""
    import transformers
    from transformers import AutoConfig

    classes = {SequenceHead: "AutoModelForSequenceClassification", TokenHead: "AutoModelForTokenClassification"}
    if type(head) not in classes:
        raise PluginError(f"pretrained encoders have no {head.name} head; use the model 'encoder-decoder'")
    with _loading(folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if "/" in str(config._attn_implementation):
        raise DataError(f"{folder / 'config.json'} names code of the hub for attention, which is never run")
    kind: Any = getattr(transformers, classes[type(head)])
    if type(config) not in kind._model_mapping:
        raise DataError(
            f"{folder} holds a model of the family {config.model_type}, and transformers has no class of that family "
            f"with scores for each {'token' if head.by_token else 'text'}; name a model of another family"
        )
    saved = copy.deepcopy(config)
    config.num_labels = len(head.labels)
    config.id2label = dict(enumerate(head.labels))
    config.label2id = {label: number for number, label in enumerate(head.labels)}
    config.problem_type = None if head.by_token else "single_label_classification"
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = pad
    for key in ("hidden_dropout_prob", "dropout"):
        if dropout is not None and hasattr(config, key):
            setattr(config, key, dropout)
    register_attention()
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)  # it reports each new head as a suspicion; ours is always new
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with _loading(folder):
            model, report = kind.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # of the head; any other is refused
            )
    finally:
        transformers.logging.set_verbosity(verbosity)
    if pad is not None and hasattr(model, "score"):  # such models find a text's last token by the padding
        model.config.pad_token_id = pad
    quicken_bert(model)
    return model, report, saved


def located(source: str, folder: Path, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """The folder that `source` means: one below the recipe's `folder`, or a hub repository's files, fetched.

    Raises DataError where it is neither, ResourceError where the hub cannot be reached.
    """
    if (folder / source).is_dir():
        return folder / source
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    offline = hub_offline_by()
    try:
        return Path(
            snapshot_download(
                source, revision=revision, allow_patterns=list(patterns), local_files_only=offline is not None
            )
        )
    except (GatedRepoError, RevisionNotFoundError) as cause:
        reason = str(cause).strip().splitlines()[0]
        raise DataError(f"{source!r} of the Hugging Face hub cannot be had: {reason}") from cause
    except (HFValidationError, RepositoryNotFoundError) as cause:
        raise DataError(f"{source!r} is neither a folder below {folder} nor a model of the Hugging Face hub") from cause
    except (LocalEntryNotFoundError, OSError) as cause:
        if offline is not None:
            raise ResourceError(
                f"{source!r} is no folder below {folder}, and the hub's cache does not hold it, which is all that is "
                f"read while {offline} is set; unset it for one run"
            ) from cause
        raise ResourceError(
            f"{source!r} is no folder below {folder}, and the Hugging Face hub could not be reached for it; "
            "check the network, or save the model to a folder and name that"
        ) from cause


class PretrainedModel(nn.Module):
    """A transformers model behind lmkit's `forward(batch) -> Output`."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network
        self._implementation = network.config._attn_implementation
        self._settable = network.config.model_type in PLAIN_FAMILIES and network._can_set_attn_implementation()
        self.positions = count_positions(network)
        """How many tokens it reads; None where there is no limit."""

    def forward(self, batch: Batch) -> Output:
        """`input_ids` (B, T) and `attention_mask` (B, T) to logits (B, C) or (B, T, C)."""
        length = batch["input_ids"].shape[1]
        if self.positions is not None and length > self.positions:
            raise DataError(f"a text has {length} tokens, and this model reads {self.positions}; lower task.max_length")
        self._choose_attention(batch["input_ids"])
        return Output(logits=scores(self.network, batch["input_ids"], batch["attention_mask"]))

    def save(self, folder: Path) -> None:
        """config.json and model.safetensors, as `from_pretrained` reads them."""
        embedding = self.network.get_input_embeddings()
        if isinstance(embedding, PartlyTrainedEmbedding):
            self.network.set_input_embeddings(embedding.whole())
        self.network.config._attn_implementation = self._implementation
        self.network.save_pretrained(folder, safe_serialization=True)

    def gradient_checkpointing_enable(self) -> None:
        self.network.gradient_checkpointing_enable()  # type: ignore[no-untyped-call]

    def _choose_attention(self, ids: Tensor) -> None:
        """Plain products for short texts on a CPU, the model's own kernel elsewhere: a fixed rule, never a timing."""
        plain = self._settable and ids.device.type == "cpu" and ids.shape[1] <= SHORT
        wanted = PLAIN if plain else self._implementation
        if self.network.config._attn_implementation != wanted:
            self.network.set_attn_implementation(wanted)


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Tell what transformers cannot load as what it is."""
    try:
        yield
    except (LmkitError, MemoryError):
        raise
    except Exception as cause:  # whatever its readers make of files that others wrote
        reason, *_ = [*str(cause).strip().splitlines(), type(cause).__name__]
        raise DataError(f"{folder} holds no model that transformers can load: {reason}") from cause


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except RecursionError as cause:
        raise DataError(f"{path} is no JSON that can be read: it is nested too deep") from cause
    except ValueError as cause:
        raise DataError(f"{path} is no JSON: {cause}") from cause
    return value if isinstance(value, dict) else {}

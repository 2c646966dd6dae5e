"""The special tokens of all tokenizers that lmkit makes itself: their names, their ids, and where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tokenizers import Regex, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from lmkit.errors import DataError
from lmkit.kinds.tokenizer import Tokenizer

PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Texts = Callable[[], Iterator[str]]


def typed_apart() -> pre_tokenizers.PreTokenizer:
    """Cuts a [PAD] that somebody typed after its bracket: a model that looks words up would find the special token."""
    return pre_tokenizers.Split(Regex(r"\[(?=(?:PAD|UNK|CLS|SEP|MASK)\])"), "isolated")


def framed(backend: Backend) -> Tokenizer:
    """The tokenizer with its special tokens, which are numbered first, and where transformers puts them."""
    pad, unknown, begin, end, mask = range(len(SPECIAL))
    backend.add_special_tokens(list(SPECIAL))
    backend.encode_special_tokens = True  # a text that says [PAD] means the word
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A {END} $B:1 {END}:1", special_tokens=[(BEGIN, begin), (END, end)]
    )
    return Tokenizer(backend, pad, unknown, begin, end, mask)


def check_size(size: int, limit: int, sort: str) -> None:
    """Raises DataError where single characters alone are more than the vocabulary may hold."""
    if size > limit:
        raise DataError(
            f"the training texts' characters alone are a vocabulary of {size:,}, and vocab_size is {limit:,}: "
            f"raise the {sort} tokenizer's vocab_size, or use byte-level-bpe, which spells every character"
        )

"""Settings of the perturbations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmkit.kinds.metric import Answer
from lmkit.kinds.perturbation import PerturbationConfig

LABELS: tuple[Answer, ...] = ("a label", "tags")
"""Answers that do not have to be written as the input is."""

ANY: tuple[Answer, ...] = (*LABELS, "text")


class TyposConfig(PerturbationConfig):
    """Slips of the finger inside of words: a letter doubled, left out, swapped with the next, or its neighbour's key.

    Only words of at least four letters in scripts that have upper and lower case are changed, never their first letter,
    and never a negation, a number, an address or a handle.
    """

    use: Literal["typos"]

    rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the words that get a slip; one at least, where a text has a word that can have one."""

    preserves: ClassVar[tuple[Answer, ...]] = ANY


class CaseConfig(PerturbationConfig):
    """Another use of upper and lower case.

    A translation's case would have to change too, so that it suits labels only.
    """

    use: Literal["case"]

    to: Literal["lower", "upper", "title", "random"] = "random"
    """`title` begins each word with a capital; `random` draws for each row one of the three that change it."""

    preserves: ClassVar[tuple[Answer, ...]] = LABELS


class PunctuationConfig(PerturbationConfig):
    """Another end of the text: its final mark doubled or left out, or a full stop where there is none.

    A question mark is never left out. Of words in a list, the final mark can only be doubled. A translation's end would
    have to change too, so that it suits labels only.
    """

    use: Literal["punctuation"]

    preserves: ClassVar[tuple[Answer, ...]] = LABELS


class ContractionsConfig(PerturbationConfig):
    """English contractions written out, and what is written out contracted: `don't` and `do not`, `I am` and `I'm`.

    Contractions of two readings ('s and 'd) are left as they are. Of words in a list, a contraction can only be changed
    where it is two words already (`do`, `n't`).
    """

    use: Literal["contractions"]

    preserves: ClassVar[tuple[Answer, ...]] = ANY

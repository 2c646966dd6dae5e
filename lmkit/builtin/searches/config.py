"""Settings of the searches."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmkit.kinds.search import SearchConfig


class GridConfig(SearchConfig):
    """Every point of the space once, the first key changing slowest."""

    use: Literal["grid"]

    finite: ClassVar[bool] = True


class RandomConfig(SearchConfig):
    """Points drawn at random (Bergstra & Bengio, 2012): the value of a key in a trial depends on the sweep's seed, the
    trial's number and the key alone."""

    use: Literal["random"]

    trials: Annotated[int, Field(gt=0)]
    """How many points are drawn. Raised later, the first ones stay as they are."""


class SobolConfig(SearchConfig):
    """Points that fill the space more evenly than chance does (Sobol', 1967), shifted at random by the sweep's seed.

    Best with 8, 16, 32, … trials. A key that is added to the end of the space leaves the values of the others as they
    were.
    """

    use: Literal["sobol"]

    trials: Annotated[int, Field(gt=0)]
    """How many points are tried. Raised later, the first ones stay as they are."""

"""Winners: what is left of a search's best points on seeds that the search has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lmkit.statistics.means import Mean, detectable_difference, mean_interval, paired_difference, pairs_needed
from lmkit.statistics.significance import holm
from lmkit.sweep.trials import Direction, Trial

CONFIDENCE = 0.95
"""Of the intervals."""

SURE = 0.05
"""A point is called better or worse below this chance, corrected for the number of points."""

POWER = 0.8
"""The chance with which a difference as large as the detectable one is found."""

Verdict = Literal["better", "not shown to be better", "worse"]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One of the best points, trained again on fresh seeds."""

    number: int
    """Its trial's."""
    settings: Mapping[str, Any]
    searched: float
    """The objective during the search, by which it was chosen."""
    values: tuple[float | None, ...]
    """The objective on each fresh seed; None where the run failed or the objective is undefined."""
    fresh: Mean
    """On the fresh seeds, failed runs left out."""
    optimism: float | None
    """By how much better the search had it look than the fresh seeds do; negative if worse."""
    difference: Mean
    """The objective less that of the recipe's own settings, on the seeds where both came to an end."""
    chance: float
    """That the difference is luck, by a paired t-test."""
    corrected: float
    """The same, for as many points as are confirmed (Holm, 1979)."""
    verdict: Verdict
    """Against the recipe's own settings."""


@dataclass(frozen=True, slots=True)
class Winners:
    """The confirmed points in the order of the search, beside the recipe's own settings on the same seeds."""

    metric: str
    direction: Direction
    seeds: tuple[int, ...]
    values: tuple[float | None, ...]
    """The objective of the recipe's own settings on each seed; None where the run failed."""
    own: Mean
    """Of the recipe's own settings."""
    points: tuple[Confirmation, ...]
    scatter: float | None
    """The standard deviation of the difference on one seed, that of all points taken together. None of one seed."""

    @property
    def best(self) -> Confirmation | None:
        """The best mean on fresh seeds: of the points that are better, else of all. None where all runs failed."""
        ended = [point for point in self.points if point.fresh.value is not None]
        sign = _sign(self.direction)
        shown = [point for point in ended if point.verdict == "better"]
        return max(shown or ended, key=lambda point: sign * (point.fresh.value or 0.0), default=None)

    @property
    def optimism(self) -> float | None:
        """The points' mean optimism."""
        return mean_interval([point.optimism for point in self.points if point.optimism is not None]).value

    @property
    def failed(self) -> int:
        """How many runs on fresh seeds failed or have no value."""
        return sum(value is None for row in (self.values, *(point.values for point in self.points)) for value in row)

    @property
    def detectable(self) -> float | None:
        """The least true difference that these seeds would show four times in five, if differences scatter so. None
        where they do not."""
        return detectable_difference(self.scatter, self.pairs, self._level, POWER) if self.scatter else None

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds would show a difference like the best point's four times in five, were it the true one. None
        where it is shown already, is for the worse, or would take over a thousand."""
        best = self.best
        if not self.scatter or best is None or best.verdict == "better":
            return None
        gain = _sign(self.direction) * (best.difference.value or 0.0)
        return pairs_needed(gain, self.scatter, self._level, POWER) if gain > 0 else None

    @property
    def pairs(self) -> int:
        """On how many seeds a point, and the recipe's own settings, came to an end."""
        return max((point.difference.count for point in self.points), default=0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know beside the numbers."""
        return tuple(_notes(self))

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values, with what follows from them."""
        best = self.best
        return {
            **asdict(self),
            "best": None if best is None else best.number,
            "optimism": self.optimism,
            "failed": self.failed,
            "detectable": self.detectable,
            "seeds_needed": self.seeds_needed,
            "notes": list(self.notes),
            "confidence": CONFIDENCE,
            "sure": SURE,
        }

    @property
    def _level(self) -> float:
        """The chance below which the first of the points is called better, by Holm's correction."""
        return SURE / max(len(self.points), 1)


def judge_winners(
    points: Sequence[Trial],
    values: Mapping[int, Sequence[float | None]],
    own: Sequence[float | None],
    seeds: Sequence[int],
    metric: str,
    direction: Direction,
) -> Winners:
    """The search's best points against the recipe's own settings, seed by seed.

    `points` are finished trials; `values` has by a trial's number its objective on each of the fresh `seeds`, `own`
    that of the recipe's own settings on the same ones. What is None or not finite is left out, and counted. Where
    settings do nothing, any of the points is called better in at most `SURE` of all sweeps; one that failed on a seed
    where the recipe's own settings did not is never called so. Raises ValueError where there are not as many values as
    seeds.
    """
    mine = _finite(own, seeds)
    table = [_finite(values[point.number], seeds) for point in points]
    compared = [_compared(theirs, mine) for theirs in table]
    corrected = holm([chance for _, chance in compared])
    found = [
        _confirmation(point, theirs, mine, compared[place], corrected[place], direction)
        for place, (point, theirs) in enumerate(zip(points, table, strict=True))
    ]
    return Winners(
        metric=metric,
        direction=direction,
        seeds=tuple(seeds),
        values=mine,
        own=mean_interval(_known(mine), CONFIDENCE),
        points=tuple(found),
        scatter=_scatter([difference for difference, _ in compared]),
    )


def _finite(values: Sequence[float | None], seeds: Sequence[int]) -> tuple[float | None, ...]:
    if len(values) != len(seeds):
        raise ValueError(f"{len(values)} values on {len(seeds)} seeds; each seed has one, None where its run failed")
    return tuple(value if value is not None and math.isfinite(value) else None for value in values)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _compared(theirs: Sequence[float | None], mine: Sequence[float | None]) -> tuple[Mean, float]:
    """The difference on the seeds where both have a value, and its chance."""
    pairs = [(one, other) for one, other in zip(theirs, mine, strict=True) if one is not None and other is not None]
    return paired_difference([one for one, _ in pairs], [other for _, other in pairs], CONFIDENCE)


def _confirmation(
    point: Trial,
    theirs: tuple[float | None, ...],
    mine: tuple[float | None, ...],
    compared: tuple[Mean, float],
    corrected: float,
    direction: Direction,
) -> Confirmation:
    if point.value is None:
        raise ValueError(f"trial {point.number} has no value; only finished trials are confirmed")
    (difference, chance), fresh = compared, mean_interval(_known(theirs), CONFIDENCE)
    sign = _sign(direction)
    verdict: Verdict = "not shown to be better"
    if corrected < SURE and sign * (difference.value or 0.0) < 0:
        verdict = "worse"
    elif corrected < SURE and not _fails_more(theirs, mine):
        verdict = "better"
    return Confirmation(
        number=point.number,
        settings=dict(point.settings),
        searched=point.value,
        values=theirs,
        fresh=fresh,
        optimism=None if fresh.value is None else sign * (point.value - fresh.value),
        difference=difference,
        chance=chance,
        corrected=corrected,
        verdict=verdict,
    )


def _fails_more(theirs: Sequence[float | None], mine: Sequence[float | None]) -> bool:
    """Whether it failed on a seed where the recipe's own settings did not; what is left is then the luckier part."""
    return any(one is None and other is not None for one, other in zip(theirs, mine, strict=True))


def _sign(direction: Direction) -> int:
    return 1 if direction == "maximize" else -1


def _scatter(differences: Sequence[Mean]) -> float | None:
    """The standard deviation of one difference, by the degrees of freedom of each point."""
    known = [(each.deviation, each.count - 1) for each in differences if each.deviation is not None]
    parts = [deviation * math.sqrt(free) for deviation, free in known]
    return math.hypot(*parts) / math.sqrt(sum(free for _, free in known)) if known else None


def _notes(winners: Winners) -> Iterator[str]:
    if winners.pairs < 2:
        yield "of fewer than two seeds there is no interval and no test; confirm.seeds: 3 or more has both"
    for point in winners.points:
        if point.difference.deviation == 0.0 and point.chance < 1:
            yield (
                f"trial {point.number} differs by the same on every seed, as coarse numbers may by luck: its chance is "
                f"that of {point.difference.count} equal signs"
            )
    if winners.failed:
        runs = len(winners.seeds) * (len(winners.points) + 1)
        where = [f"trial {point.number}" for point in winners.points if None in point.values]
        where += ["the recipe's own settings"] if None in winners.values else []
        lucky = any(_fails_more(point.values, winners.values) for point in winners.points)
        rule = "; what fails where the recipe's own settings do not is not called better" if lucky else ""
        yield f"{winners.failed} of {runs} runs on fresh seeds failed and are left out: {', '.join(where)}{rule}"
    if winners.detectable is not None and any(point.verdict == "not shown to be better" for point in winners.points):
        shown = f"{winners.pairs} seeds would show a true difference of {winners.detectable:.2g} in four of five sweeps"
        yield shown + _more(winners)


def _more(winners: Winners) -> str:
    best = winners.best
    if best is None or winners.seeds_needed is None:
        return ""
    return (
        f"; for one like trial {best.number}'s, {abs(best.difference.value or 0.0):.2g}, it takes "
        f"confirm.seeds: {winners.seeds_needed}"
    )

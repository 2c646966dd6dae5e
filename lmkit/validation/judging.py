"""Judging: each requirement against the end of its interval that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lmkit.recipe.schema import RequirementConfig
from lmkit.records.record import Interval
from lmkit.validation.study import Judged, Verdict


def judge(requirements: Sequence[RequirementConfig], measures: Mapping[str, Interval]) -> Verdict:
    """Met are those whose whole interval is on the right side of the bound; one without an interval is not met."""
    judged = tuple(_judged(requirement, measures.get(requirement.metric)) for requirement in requirements)
    if not judged:
        return Verdict(outcome="nothing required")
    return Verdict(outcome="met" if all(one.met for one in judged) else "not met", requirements=judged)


def _judged(requirement: RequirementConfig, interval: Interval | None) -> Judged:
    least, most = requirement.at_least, requirement.at_most
    end = None if interval is None else interval.low if least is not None else interval.high
    met = end is not None and (end >= least if least is not None else most is not None and end <= most)
    return Judged(metric=requirement.metric, at_least=least, at_most=most, interval=interval, met=met)

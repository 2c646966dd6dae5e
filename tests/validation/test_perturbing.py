"""What is asked of perturbations, and what is told of one that gives back something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa
import pytest

from lmkit.catalog import Catalog, Provided
from lmkit.component import Component
from lmkit.errors import PluginError
from lmkit.kinds.perturbation import Perturbation, PerturbationConfig
from lmkit.kinds.task import Column
from lmkit.validation.perturbing import perturbed_rows

COLUMNS = (
    Column("text", "text", "input"),
    Column("tokens", "words", "input"),
    Column("label", "label", "target"),
)
ROWS = pa.table({"text": ["one", "two"], "tokens": [["a", "b"], []], "label": ["x", "y"], "row": [7, 9]})


class EchoConfig(PerturbationConfig):
    """Gives back what a test wants."""

    use: Literal["echo"]


def catalog(answer: Any) -> Catalog:
    def build(config: EchoConfig, *, seed: int) -> Perturbation:
        def perturb(row: Mapping[str, Any], number: int) -> Any:
            return answer(dict(row), number, seed)

        return perturb

    return Catalog({"perturbation": [Provided(Component(EchoConfig, build=build), "lmkit-echo")]})


def perturbed(answer: Any) -> pa.Table:
    return perturbed_rows(EchoConfig(use="echo"), ROWS, COLUMNS, 5, catalog(answer))


def test_a_perturbation_is_given_the_inputs_the_rows_number_and_the_seed() -> None:
    given: list[Any] = []

    changed = perturbed(lambda row, number, seed: given.append((row, number, seed)) or row | {"text": f"row {number}"})

    assert given == [({"text": "one", "tokens": ["a", "b"]}, 7, 5), ({"text": "two", "tokens": []}, 9, 5)]
    assert changed.to_pydict() == {"text": ["row 7", "row 9"], "tokens": [["a", "b"], []]}
    assert changed.schema.types == [ROWS.schema.field("text").type, ROWS.schema.field("tokens").type]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda row, *_: None, "gave None, where a row with text, tokens was expected, for row 7"),
        (lambda row, *_: row | {"label": "z"}, "where a row with text, tokens was expected, for row 7"),
        (lambda row, *_: row | {"text": 3}, "gave text: 3, where a text was expected, for row 7"),
        (lambda row, *_: row | {"tokens": "ab"}, "gave tokens: 'ab', where a list of words was expected, for row 7"),
        (lambda row, *_: row | {"tokens": ["a"]}, "gave 1 words in tokens where there were 2 for row 7"),
        (lambda row, *_: row["nothing"], "failed at row 7 ("),
    ],
)
def test_a_perturbation_that_breaks_its_contract_is_told_with_its_plugin(answer: Any, told: str) -> None:
    with pytest.raises(PluginError) as raised:
        perturbed(answer)

    assert str(raised.value).startswith("perturbation 'echo' of lmkit-echo ")
    assert told in str(raised.value)

"""The data source `sample`: sentences shipped with the package."""

from __future__ import annotations

from lmkit_starter.config import SampleDataConfig
from lmkit_starter.data import sample

TAGS = {"O"} | {f"{part}-{kind}" for part in "BI" for kind in ("person", "place", "organization", "date")}


def test_entities_are_sentences_with_one_well_formed_tag_for_each_word() -> None:
    source = sample(SampleDataConfig(use="sample", name="entities"))

    rows = source.load().to_pylist()

    assert rows and set(rows[0]) == {"tokens", "tags", "topic", "id"}
    assert len({row["id"] for row in rows}) == len(rows)
    assert {tag for row in rows for tag in row["tags"]} == TAGS
    for row in rows:
        assert len(row["tokens"]) == len(row["tags"]) > 0
        for before, tag in zip(["O", *row["tags"]], row["tags"], strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:], row


def test_its_fingerprint_is_that_of_the_file() -> None:
    config = SampleDataConfig(use="sample", name="entities")

    assert sample(config).fingerprint() == sample(config).fingerprint()
    assert len(sample(config).fingerprint()) == 64

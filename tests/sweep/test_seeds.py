"""A sweep's seeds: the same for every point and every controller, and fresh where they have to be."""

from __future__ import annotations

from lmkit.sweep.seeds import confirm_seeds, repeat_seeds


def test_the_first_repeat_has_the_recipes_seed_and_more_repeats_leave_the_first_as_they_were() -> None:
    assert repeat_seeds(42, 0, 1) == [42]
    assert repeat_seeds(42, 0, 10)[:4] == repeat_seeds(42, 0, 4)
    assert repeat_seeds(42, 0, 10)[1:] != repeat_seeds(42, 1, 10)[1:]


def test_seeds_are_those_of_the_hash_whatever_the_process() -> None:
    # printf '0\0confirm\0%d' 0 | b2sum -l 32, its bytes from the last to the first.
    hashes = ["ab77ba94", "3c589f26", "7a575f1d"]

    assert confirm_seeds(0, 3, ()) == [int.from_bytes(bytes.fromhex(digest), "little") for digest in hashes]


def test_a_thousand_seeds_are_all_different_and_valid_in_a_recipe() -> None:
    seeds = [*repeat_seeds(7, 3, 500), *confirm_seeds(3, 500, repeat_seeds(7, 3, 500))]

    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_no_fresh_seed_was_used_in_the_search() -> None:
    first, second, third = confirm_seeds(5, 3, ())

    assert confirm_seeds(5, 2, {second}) == [first, third]
    assert confirm_seeds(5, 2, {first, 1}) == [second, third]

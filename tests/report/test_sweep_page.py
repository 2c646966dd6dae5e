"""The page of a sweep, read as a browser reads it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.report.history import best_so_far
from lmkit.report.points import read_points
from lmkit.report.sweep_page import SweepPage, sweep_page, write_sweep_page
from lmkit.sweep.trials import Direction, Trial
from lmkit.sweep.winners import Winners, judge_winners

VOID = {"meta", "link", "wbr"}
HOSTILE = "<script>alert(1)</script><i>\"'&"


class Page(HTMLParser):
    """The elements of a page, each with its attributes and the texts in it. Fails where they are not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.inside: list[int] = []
        self.feed(text)
        assert not self.inside

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))
        if tag not in VOID:
            self.inside.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.inside.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self.inside:
            self.elements[place][2].append(data)

    def texts(self, tag: str) -> list[str]:
        return ["".join(texts) for found, _, texts in self.elements if found == tag]

    def charts(self, kind: str) -> list[list[dict[str, str]]]:
        """The paths of each chart of a kind."""
        found: list[list[dict[str, str]]] = []
        chart = ""
        for tag, attributes, _ in self.elements:
            if tag == "svg":
                chart = attributes.get("class", "").partition(" ")[0]
                found += [[]] if chart == kind else []
            elif tag == "path" and chart == kind:
                found[-1].append(attributes)
        return found


def marks(paths: list[dict[str, str]]) -> dict[int, list[tuple[float, float]]]:
    """Where each trial stands in a chart."""
    return {int(path["data-t"]): corners(path["d"]) for path in paths if "data-t" in path}


def corners(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", path)]


def page_of(trials: list[Trial], direction: Direction = "maximize") -> Page:
    return Page(sweep_page(SweepPage("films", "validation/f1", direction, trials)))


@pytest.fixture(scope="module")
def winners(searched: list[Trial]) -> Winners:
    """Trial 3 is far better than the recipe's own settings on fresh seeds too, trial 7 has failed on them."""
    fresh: dict[int, list[float | None]] = {3: [0.86, 0.87, 0.88, 0.87], 7: [None] * 4}
    points = [searched[number] for number in fresh]
    return judge_winners(points, fresh, [0.79, 0.80, 0.82, 0.81], [1, 2, 3, 4], "validation/f1", "maximize")


@pytest.fixture(scope="module")
def text(searched: list[Trial], winners: Winners) -> str:
    return sweep_page(SweepPage("films", "validation/f1", "maximize", searched, winners.as_json()))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture
def without_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    """For pages whose importances do not matter: they take the longest."""
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)


@pytest.mark.usefixtures("without_forest")
def test_the_head_tells_counts_and_the_best_value_with_its_settings(searched: list[Trial]) -> None:
    best = max((trial for trial in searched if trial.value is not None), key=lambda trial: trial.value or 0.0)
    page = page_of(searched)
    (head,) = page.texts("header")
    for part in ("36finished", "3failed", "1running", f"trial {best.number}", f"{best.value:.4g}", "stage: fit"):
        assert part in head
    assert f"{best.settings['optimizer']['lr']:.6g}".replace("e-0", "e-") in page.texts("dd")
    assert "partly luck" in head


def test_where_points_were_confirmed_the_head_tells_the_winner_on_fresh_seeds_and_its_settings(
    page: Page, searched: list[Trial]
) -> None:
    (head,) = page.texts("header")
    assert "0.87validation/f1 on fresh seeds, trial 3: better" in head and "partly luck" not in head
    assert f"{searched[3].settings['optimizer']['lr']:.6g}".replace("e-0", "e-") in page.texts("dd")


def test_every_trial_has_a_mark_in_the_history_and_failed_ones_stand_at_its_lower_edge(
    page: Page, searched: list[Trial]
) -> None:
    (paths,) = page.charts("history")
    assert marks(paths).keys() == {trial.number for trial in searched}
    failed = {int(path["data-t"]) for path in paths if path["class"] == "failed"}
    assert failed == {trial.number for trial in searched if trial.state == "failed"}
    assert all(marks(paths)[number][0][1] == 1000 for number in failed)


def test_every_finished_trial_is_in_each_slice_of_a_setting_that_it_has(page: Page, searched: list[Trial]) -> None:
    finished = {trial.number for trial in searched if trial.value is not None}
    momentous = {trial.number for trial in searched if "momentum" in trial.settings["optimizer"]} & finished
    names = [name.partition("in ")[0].partition("log")[0] for name in page.texts("figcaption")]
    shown = dict(zip(names, (set(marks(paths)) for paths in page.charts("slice")), strict=True))
    assert shown == {
        "optimizer.lr": finished,
        "optimizer.use": finished,
        "optimizer.momentum": momentous,
        "model.dropout": finished,
        "train.batch_size": finished,
    }
    assert names[0] == "optimizer.lr", "the most important setting comes first"
    assert [name for name in page.texts("figcaption") if "log axis" in name] == ["optimizer.lrlog axis"]


def test_every_finished_trial_is_a_line_that_leaves_out_settings_it_has_not(page: Page, searched: list[Trial]) -> None:
    (paths,) = page.charts("parallel")
    lines = marks(paths)
    assert lines.keys() == {trial.number for trial in searched if trial.value is not None}
    assert {len(line) for line in lines.values()} == {6}
    for number, line in lines.items():
        below = [y > 1000 for _, y in line]
        assert any(below) == ("momentum" not in searched[number].settings["optimizer"]) and sum(below) <= 1
    values = sorted(lines, key=lambda number: searched[number].value or 0.0)
    assert all(lines[low][-1][1] >= lines[high][-1][1] for low, high in pairwise(values)), "the last axis is the value"


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.usefixtures("without_forest")
def test_the_line_in_the_history_is_the_best_so_far(searched: list[Trial], direction: Direction) -> None:
    (paths,) = page_of(searched, direction).charts("history")
    places = marks(paths)
    (steps,) = [path["d"] for path in paths if path["class"] == "steps"]
    begin, *moves = re.findall(r"[MHV][\d. -]+", steps)
    (x, y), *_ = corners(begin)
    height = {x: y}
    for across, down in zip(moves[::2], [*moves[1::2], f"V{moves[-2][1:]}"], strict=True):
        height[float(across[1:])] = float(down[1:])
    best, choose = None, max if direction == "maximize" else min
    for trial in searched:
        if trial.value is not None:
            best = trial.value if best is None else choose(best, trial.value)
            (holder,) = [other.number for other in searched if other.value == best]
            at = places[trial.number][0][0]
            assert height[max(x for x in height if x <= at)] == places[holder][0][1]


@settings(max_examples=50)
@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True)), max_size=30), st.sampled_from(["maximize", "minimize"])
)
def test_the_best_so_far_are_the_records_of_the_values(values: list[float | None], direction: Direction) -> None:
    trials = [Trial(number, {}, "finished", value=value) for number, value in enumerate(values)]
    sign = 1 if direction == "maximize" else -1
    record, records = float("-inf"), []
    for trial in trials:
        value = trial.value
        if value is not None and value - value == 0 and sign * value > record:
            record = sign * value
            records.append(trial.number)
    assert [point.number for point in best_so_far(read_points(trials, direction))] == records


def test_the_table_has_all_there_is_to_know_of_a_trial(page: Page, searched: list[Trial]) -> None:
    rows = {attributes["id"]: texts for tag, attributes, texts in page.elements if tag == "tr" and "id" in attributes}
    assert list(rows) == [f"t{trial.number}" for trial in searched]
    failed = "".join(rows["t5"])
    assert "run-5" in failed and "out of memory\n  in forward" in failed and "failed" in failed
    assert f"{searched[0].value:.6g}" in rows["t0"] and "60.0" in rows["t0"]


def test_importances_rank_the_setting_that_decides_first_and_idle_ones_have_about_nothing(page: Page) -> None:
    (table,) = [
        at for at, (tag, attrs, _) in enumerate(page.elements) if tag == "table" and attrs.get("class") == "bars"
    ]
    rest = page.elements[table:]
    names = ["".join(texts) for tag, attributes, texts in rest if tag == "th" and attributes.get("scope") == "row"]
    numbers = ["".join(texts) for tag, attributes, texts in rest if tag == "td" and "number" in attributes.values()]
    shares = dict(zip(names, map(float, numbers[: 2 * len(names) : 2]), strict=True))
    assert names[0] == "optimizer.lr" and shares["optimizer.lr"] > 0.3
    assert {"train.batch_size", "optimizer.momentum", "optimizer.use"} <= {
        name for name, share in shares.items() if share < 0.05
    }


def test_winners_are_told_with_intervals_optimism_and_verdict(page: Page, winners: Winners) -> None:
    (table,) = [
        at for at, (tag, attrs, _) in enumerate(page.elements) if tag == "table" and attrs.get("class") == "winners"
    ]
    rows = [texts for tag, _, texts in page.elements[table:] if tag == "tr"]
    point, own = winners.points[0], winners.own
    fresh = f"0.87 [{point.fresh.low:.4g}, {point.fresh.high:.4g}], 4 seeds"
    difference = f"+0.065 [{point.difference.low:.2g}, {point.difference.high:.2g}]"
    assert rows[1][:4] == ["trial 3", "better", f"{point.searched:.4g}", fresh]
    assert rows[1][4:] == [f"{point.optimism:.2g}", difference, f"{point.corrected:.2g}"]
    assert rows[2][0] == "trial 7"
    assert rows[3] == ["the recipe's own", f"0.805 [{own.low:.4g}, {own.high:.4g}], 4 seeds"]
    assert set(winners.notes) <= set(page.texts("p")) and winners.notes


def test_a_page_names_nothing_outside_of_itself_and_lets_only_its_own_script_run(text: str, page: Page) -> None:
    assert "http" not in text.replace("http-equiv", "")
    assert not [attributes for _, attributes, _ in page.elements if "src" in attributes]
    assert [attributes["href"] for tag, attributes, _ in page.elements if tag == "link"] == ["data:,"]
    (policy,) = [attrs["content"] for tag, attrs, _ in page.elements if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'") and "script-src 'sha256-" in policy


@pytest.mark.usefixtures("without_forest")
def test_what_trials_and_winners_hold_is_text_and_nothing_else() -> None:
    settings = {HOSTILE: HOSTILE, "block": {HOSTILE: [HOSTILE]}}
    trials = [
        Trial(0, settings, "finished", value=1.0, runs=(HOSTILE,)),
        Trial(1, {HOSTILE: "other"}, "finished", value=2.0),
        Trial(2, settings, "failed", error=f"{HOSTILE}\n{HOSTILE}"),
    ]
    winners = {"points": [{"number": HOSTILE, "verdict": HOSTILE}], "notes": [HOSTILE]}
    found = Page(sweep_page(SweepPage(HOSTILE, HOSTILE, "maximize", trials, winners)))
    tags = [tag for tag, _, _ in found.elements]
    assert tags.count("script") == 1
    assert all("class" in attributes for tag, attributes, _ in found.elements if tag == "i")
    assert found.texts("h1") == [HOSTILE]
    for tag in ("td", "th", "figcaption", "summary"):
        assert any(HOSTILE in text for text in found.texts(tag))


@pytest.mark.usefixtures("without_forest")
@pytest.mark.parametrize(
    ("trials", "told"),
    [
        ([], "No trial has begun."),
        ([Trial(0, {"lr": 0.1}, "running")], "No trial has a value."),
        ([Trial(0, {"lr": 0.1}, "failed", error="no"), Trial(1, {"lr": 1}, "failed", error="no")], "Failures"),
        ([Trial(0, {"lr": 0.1}, "finished", value=0.5)], "best validation/f1 in the search, trial 0"),
        ([Trial(0, {"lr": 0.1}, "finished", value=float("nan"))], "No trial has a value."),
        ([Trial(3, {"lr": 0.1}, "finished", value=1.0), Trial(9, {}, "finished", value=1.0)], "in 1 of 2 trials"),
    ],
    ids=["none", "one running", "all failed", "one", "no number", "equal values"],
)
def test_a_page_of_hardly_anything_is_a_page(trials: list[Trial], told: str) -> None:
    assert told in "".join(page_of(trials).texts("main"))


@pytest.mark.usefixtures("without_forest")
def test_runs_that_diverged_stand_at_the_end_of_the_axis_and_do_not_flatten_the_others(searched: list[Trial]) -> None:
    losses = [replace(trial, value=trial.value and 1 - trial.value) for trial in searched]
    losses[7] = replace(losses[7], value=1e9)
    found = page_of(losses, "minimize")
    (paths,) = found.charts("history")
    assert [path["data-t"] for path in paths if "far" in path["class"]] == ["7"]
    heights = [place[0][1] for number, place in marks(paths).items() if losses[number].value]
    assert max(heights) - min(heights) > 900
    assert "1 value is far worse than the rest" in "".join(found.texts("section"))


@pytest.mark.slow
def test_ten_thousand_trials_give_a_page_of_two_megabytes_that_tells_what_it_leaves_out(
    tmp_path: Path, search: Callable[[int], list[Trial]]
) -> None:
    trials = search(10_000)
    path = tmp_path / "page.html"
    write_sweep_page(path, SweepPage("films", "validation/f1", "maximize", trials))
    assert path.stat().st_size < 2_000_000
    found = Page(path.read_text(encoding="utf-8"))
    rows = {attributes["id"] for tag, attributes, _ in found.elements if tag == "tr" and "id" in attributes}
    ranked = sorted((trial for trial in trials if trial.value is not None), key=lambda trial: -(trial.value or 0.0))
    assert len(rows) == 1000 and {f"t{trial.number}" for trial in ranked[:500]} <= rows
    assert "Of 10,000 trials, the best 500 and a random sample of 500 others" in "".join(found.texts("header"))
    marked = {f"t{attributes['data-t']}" for _, attributes, _ in found.elements if "data-t" in attributes}
    assert marked == rows, "what is marked can be read"

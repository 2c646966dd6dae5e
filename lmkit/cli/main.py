"""The commands of `lmkit`, as typer sees them. Nothing heavy is imported here."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from copy import copy
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="lmkit",
    help="Run language-model experiments from typed recipes.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
plugins_app = typer.Typer(
    help="List plugins, and show what their components ask for.", rich_markup_mode=None, invoke_without_command=True
)
runs_app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
cache_app = typer.Typer(
    help="Tell what is kept to save work, and remove it.", rich_markup_mode=None, no_args_is_help=True
)


class ResumeWhen(StrEnum):
    """When `lmkit run` goes on with an earlier run."""

    never = "never"
    auto = "auto"


sweeps_app = typer.Typer(
    help="Tell of sweeps, and take the best point of one.", rich_markup_mode=None, no_args_is_help=True
)

RunsFolder = Annotated[
    Path | None, typer.Option("--runs", metavar="DIR", help="Folder of runs; by default LMKIT_RUNS, else ./runs.")
]


def _add_plugins(files: list[Path] | None) -> None:
    """Add files to the plugins, and refuse one that cannot be loaded. `lmkit plugins` lists it with its cause."""
    if not files:
        return
    from lmkit.errors import bounded
    from lmkit.plugins.installed import add_plugin_file, refuse_failed_files

    for file in files:
        if not file.is_file():
            raise typer.BadParameter(bounded(f"there is no file {file}"))
        add_plugin_file(file)
    if "plugins" not in sys.argv:  # which command it is, is not known yet
        refuse_failed_files(files)


PluginFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        callback=_add_plugins,
        help="Add a plugin that is one file; may be repeated. LMKIT_PLUGINS does the same for every command.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings to change: optimizer.lr=3e-5 model=lstm"),
]
RunId = Annotated[str, typer.Argument(metavar="ID", help="A run's id, or the beginning or end of one.")]
RunIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Runs' ids, or the beginnings or ends of some.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only runs of which it holds: KEY=VALUE, !=, <, <=, >, >=, ~ (contains); may be repeated. A key is "
        "recipe, state, seed, started, a measure (test/accuracy) or a setting (optimizer.lr).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


def _tell_version(wanted: bool) -> None:
    if wanted:
        from lmkit import __version__

        print(f"lmkit {__version__}")
        raise typer.Exit


@app.callback()
def lmkit(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit.")
    ] = False,
    plugin: PluginFiles = None,
) -> None:
    """Run language-model experiments from typed recipes."""


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file.")],
    overrides: Overrides = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="STAGE", help="Run only this stage: train, evaluate or validate; may be repeated."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the run, instead of the recipe's.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed, instead of the recipe's.")] = None,
    runs: RunsFolder = None,
    plugin: PluginFiles = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell every fault's traceback.")] = False,
    resume: Annotated[
        ResumeWhen, typer.Option("--resume", help="auto goes on with the newest unfinished run of this recipe, if any.")
    ] = ResumeWhen.never,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the run's folder only.")] = False,
) -> None:
    """Run a recipe: train, evaluate, and keep a record.

    Example: lmkit run recipes/sentiment.yaml optimizer.lr=3e-5 train.epochs=1

    Ctrl-C, SIGTERM or SIGUSR1 finishes the step, writes a checkpoint and stops; a second Ctrl-C stops at once.

    Exit codes: 0 done, 1 a bug, 2 the recipe, the command or the data, 3 a requirement unmet (stage validate), 4 a
    plugin or the machine (disk, network, package index, memory), 75 stopped and to be resumed, 130 stopped at once.
    """
    from lmkit.cli.run import run_command
    from lmkit.terminal import reported_work

    goes_on = resume is ResumeWhen.auto
    changes, stages = tuple(overrides or ()), tuple(stage or ())
    with reported_work():
        run_command(recipe, changes, stages, name, seed, runs, resume=goes_on, verbose=verbose, quiet=quiet)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its name, or the beginning or end of its id.")],
    overrides: Overrides = None,
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="Go on although something has changed, and record what it was."),
    ] = False,
    runs: RunsFolder = None,
    plugin: PluginFiles = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell every fault's traceback.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the run's folder only.")] = False,
) -> None:
    """Go on with a run that was interrupted, failed or died, from its last checkpoint.

    The result is the one that it would have had: bit by bit on a processor. Where the recipe, the data, a plugin's
    code, the packages or the machine have changed, it is told what, and nothing is done.

    Example: lmkit resume sentiment

    Exit codes: as those of `lmkit run`.
    """
    from lmkit.cli.resume import resume_command
    from lmkit.terminal import reported_work

    with reported_work():
        resume_command(run, tuple(overrides or ()), runs, allow_changes=allow_changes, verbose=verbose, quiet=quiet)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep, or a recipe with --space.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Keys of the sweep to change, such as budget.minutes=60; with --space those of the recipe too.",
        ),
    ] = None,
    search: Annotated[str | None, typer.Option("--search", metavar="NAME", help="grid, random, sobol, …")] = None,
    trials: Annotated[int | None, typer.Option("--trials", metavar="N", min=1, help="How many points.")] = None,
    space: Annotated[
        list[str] | None,
        typer.Option("--space", metavar="KEY=VALUES", help="What varies of a recipe; may be repeated."),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="Trials at a time.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the sweep.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of the search.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trials again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the first trials, and run nothing.")] = False,
    runs: RunsFolder = None,
    plugin: PluginFiles = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the sweep's folder only.")] = False,
) -> None:
    """Search through settings of a recipe, several trials at a time.

    Killed or stopped, the same command goes on with it: finished trials stay, those under way go on from their
    checkpoints, nothing is done twice. A trial that fails is kept with its error, and the others go on. More trials
    later, or fewer workers, change nothing of what was found.

    Examples: lmkit sweep recipes/sweeps/sentiment-random.yaml --workers 2

    lmkit sweep recipes/sentiment.yaml --trials 20 --space 'optimizer.lr={log: [1e-5, 1e-3]}'

    Exit codes: as those of `lmkit run`.
    """
    from lmkit.cli.sweep import Options, sweep_command
    from lmkit.terminal import reported_work

    options = Options(search, trials, tuple(space or ()), workers, name, seed)
    with reported_work():
        sweep_command(
            file, tuple(overrides or ()), options, runs, retry_failed=retry_failed, dry_run=dry_run, quiet=quiet
        )


app.add_typer(sweeps_app, name="sweeps")


@sweeps_app.command("list")
def sweeps_list(runs: RunsFolder = None, as_json: AsJson = False) -> None:
    """List the sweeps: how far each is, and its best value."""
    from lmkit.cli.sweeps import list_command

    list_command(runs, as_json)


@sweeps_app.command("show")
def sweeps_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep's name.")],
    runs: RunsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what came of a sweep: its best trials, and those that failed."""
    from lmkit.cli.sweeps import show_command

    show_command(name, runs, as_json)


@sweeps_app.command("best")
def sweeps_best(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep's name.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; by default it is printed.")
    ] = None,
    runs: RunsFolder = None,
    plugin: PluginFiles = None,
) -> None:
    """Write the best point of a sweep as a recipe that `lmkit run` takes: the best on fresh seeds, where it was
    confirmed on some.

    Example: lmkit sweeps best sentiment-random -o best.yaml
    """
    from lmkit.cli.sweeps import best_command

    best_command(name, runs, output)


@app.command("verify-resume")
def verify_resume(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file.")],
    overrides: Overrides = None,
    kills: Annotated[int, typer.Option("--kills", metavar="N", min=1, help="How often the run is killed.")] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the moments.")] = 0,
    plugin: PluginFiles = None,
) -> None:
    """Prove that the runs of a recipe resume exactly, with its plugins.

    Runs the recipe twice, without trackers: once whole, and once killed with -9 at random moments and resumed each
    time. Says "bit-equal", or what first differed and at which step.

    Example: lmkit verify-resume recipes/sentiment.yaml train.steps=40 --kills 3

    Exit codes: 0 equal, 3 not equal, others as those of `lmkit run`.
    """
    from lmkit.cli.verify_resume import verify_resume_command
    from lmkit.terminal import reported_work

    with reported_work():
        verify_resume_command(recipe, tuple(overrides or ()), kills, seed)


@app.command()
def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its name, or the beginning or end of its id.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="R",
            min=0.0,
            help="How far off values may be, as a share of themselves; by default every bit counts, on an accelerator "
            "0.001.",
        ),
    ] = None,
    runs: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell every fault's traceback.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only whether it came to the same.")] = False,
) -> None:
    """Run a finished run again from its record, and compare.

    What is no longer as it was (packages, code, data, machine) is told first. Then logged values, weights, predictions
    and results are compared, and the first that differs is named.

    Example: lmkit reproduce sentiment

    Exit codes: 0 it came to the same, 3 it did not, others as those of `lmkit run`.
    """
    from lmkit.cli.reproduce import reproduce_command
    from lmkit.terminal import reported_work

    with reported_work():
        reproduce_command(run, tolerance, runs, as_json=as_json, verbose=verbose, quiet=quiet)


@app.command()
def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its name, or the beginning or end of its id.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts to answer; - reads standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Rows to answer: csv, jsonl, txt, parquet, arrow."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; by default it is printed.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORM", help="jsonl, csv or parquet; by default as the output's name ends."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME=COLUMN", help="What the file calls a column that the task reads."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Rows in a batch; evaluate.batch_size.")
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Add the scores that probabilities are made of.")] = False,
    runs: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print the traceback of an error.")] = False,
) -> None:
    """Answer texts, or the rows of a file, with a run's model.

    Without TEXT and --file, standard input is read: one text a line, each answered as it comes. Answers are labels with
    probabilities, tags with their spans, or text; with a file, all its columns are kept. Where the task reads words, a
    text is split at its spaces.

    Example: lmkit predict sentiment "A joy from start to end." "Dull."

    Example: lmkit predict sentiment --file reviews.csv --output answers.csv
    """
    from lmkit.cli.predict import predict_command

    predict_command(
        run,
        tuple(texts or ()),
        file,
        output,
        form,
        tuple(column or ()),
        batch_size,
        runs,
        logits=logits,
        as_json=as_json,
        verbose=verbose,
    )


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its name, or the beginning or end of its id.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings to change: evaluate.…, metrics and, with --data, data.…"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="Rows to measure, instead of the run's own.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="YAML", help="Or their data block: '{use: csv, path: a.csv}'."),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="SPLIT", help="The split to measure; may be repeated."),
    ] = None,
    unknown_labels: Annotated[
        str,
        typer.Option("--unknown-labels", metavar="error|drop", help="What becomes of labels the model does not know."),
    ] = "error",
    runs: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the measurement's path only.")] = False,
) -> None:
    """Measure a run's model again.

    On its own splits, or on other rows.

    The measurement is kept under the run's `measurements`, with its predictions; the run's record stays as it is.

    Example: lmkit evaluate sentiment --data tweets.csv data.columns.text=tweet

    Example: lmkit evaluate sentiment --split validation 'metrics=[accuracy, mcc]'
    """
    from lmkit.cli.evaluate import evaluate_command
    from lmkit.terminal import reported_work

    with reported_work():
        evaluate_command(
            run,
            tuple(overrides or ()),
            data,
            source,
            tuple(split or ()),
            unknown_labels,
            runs,
            as_json=as_json,
            quiet=quiet,
        )


@app.command()
def validate(
    wanted: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning or end of one.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="What to change in the recipe's validate, perturbations or metrics."),
    ] = None,
    runs: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Find out whether a run's result is real, without training.

    Intervals, the same rows written otherwise, calibration, the worst slices, and a verdict. The study is kept in the
    run as verdict.json.

    Example: lmkit validate sentiment 'validate.require=[{metric: accuracy, at_least: 0.80}]'

    Exit codes: 0 every requirement is met, 3 one is not, 2 the run, the data or the command, 4 a plugin or the machine.
    """
    from lmkit.cli.validate import validate_command
    from lmkit.terminal import reported_work

    with reported_work():
        validate_command(wanted, tuple(overrides or ()), runs, as_json)


@app.command()
def check(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE|KEY=VALUE", help="Recipes and sweeps, and settings to change in them."),
    ],
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Tell every fault of recipes and sweeps at once.

    Nothing is run.

    Example: lmkit check recipes/*.yaml

    Exit codes: 0 all are well, 2 there is a fault.
    """
    from lmkit.cli.check import check_command

    check_command(recipes, as_json)


@app.command()
def explain(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY|KEY=VALUE", help="One key to explain, and settings to change."),
    ] = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Print the complete recipe, with the source of each value.

    Example: lmkit explain recipes/sentiment.yaml optimizer.lr
    """
    from lmkit.cli.explain import explain_command

    explain_command(recipe, tuple(arguments or ()), as_json)


@app.command()
def data(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file.")],
    overrides: Overrides = None,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Look for texts that are alike, too; takes longer.")
    ] = False,
    similarity: Annotated[
        float,
        typer.Option("--similarity", metavar="S", min=0.3, max=1.0, help="From where on texts are near-duplicates."),
    ] = 0.8,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Show a recipe's rows without training.

    What is dropped, doubled, leaked and cut off, and what tokens look like.

    Example: lmkit data recipes/sentiment.yaml data.limit=1000

    No policy stops it: it says what would stop a run. Exit codes: 0 shown, 2 the recipe or rows that cannot be read, 4
    a plugin or the machine.
    """
    from lmkit.cli.data import data_command

    data_command(recipe, tuple(overrides or ()), similarity if near_duplicates else None, as_json)


@app.command()
def recipes(as_json: AsJson = False, plugin: PluginFiles = None) -> None:
    """List the recipes that came with lmkit."""
    from lmkit.cli.recipes import recipes_command

    recipes_command(as_json)


@app.command()
def new(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The name of a shipped recipe; `lmkit recipes`.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; by default this folder.")
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Copy a shipped recipe, to change it."""
    from lmkit.cli.recipes import new_command

    new_command(recipe, output)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; by default it is printed.")
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Write the JSON Schema of recipes and sweeps.

    Every installed component is in it.

    An editor with a YAML language server completes and checks recipes by it. The shipped recipes name it in a
    comment: # yaml-language-server: $schema=recipe.schema.json
    """
    from lmkit.cli.schema import schema_command

    schema_command(output)


@plugins_app.callback()
def plugins(context: typer.Context, as_json: AsJson = False, plugin: PluginFiles = None) -> None:
    """List plugins: their state, what they provide, and why one failed. `lmkit plugins show optimizer adamw`."""
    if context.invoked_subcommand is None:
        from lmkit.cli.plugins import list_command

        list_command(as_json)
    else:
        context.obj = as_json


@plugins_app.command("show")
def show_component(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="data, task, tokenizer, model, optimizer, ...")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A component; without it, the kind's components are listed.")
    ] = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Show a component's settings: types, defaults, meaning."""
    from lmkit.cli.plugins import show_command

    show_command(kind, name, as_json or bool(context.obj))


@runs_app.callback()
def runs(
    context: typer.Context,
    where: Where = None,
    sort: Annotated[
        list[str] | None,
        typer.Option("--sort", metavar="KEY", help="Sort by a measure, best first, or by another key, rising."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn the order round.")] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Show N runs: the first by --sort, else the newest."),
    ] = None,
    folder: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """List runs, oldest first, or those that --where chooses. `lmkit runs show ID` tells one.

    Example: lmkit runs --where recipe=sentiment --where 'optimizer.lr<=1e-3' --sort test/accuracy --limit 5
    """
    if context.invoked_subcommand is None:
        from lmkit.cli.runs import list_command

        list_command(folder, where or (), sort or (), reverse, limit, as_json)
    else:
        context.obj = folder


@runs_app.command("show")
def show(
    context: typer.Context,
    wanted: RunId,
    folder: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Tell one run: what was run, on what, and what came of it."""
    from lmkit.cli.runs_show import show_command

    show_command(wanted, folder or context.obj, as_json)


@runs_app.command("diff")
def diff(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="A run's id, or the beginning or end of one.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another's.")],
    folder: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Tell what differs between two runs: settings, data, code, packages, machine, results."""
    from lmkit.cli.runs_diff import diff_command

    diff_command(first, second, folder or context.obj, as_json)


@runs_app.command("path")
def path(context: typer.Context, wanted: RunId, folder: RunsFolder = None, plugin: PluginFiles = None) -> None:
    """Print a run's folder.

    Example: cd "$(lmkit runs path ID)"
    """
    from lmkit.cli.runs import path_command

    path_command(wanted, folder or context.obj)


@runs_app.command("remove")
def remove(
    context: typer.Context,
    wanted: RunIds = None,
    where: Where = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    folder: RunsFolder = None,
    plugin: PluginFiles = None,
) -> None:
    """Delete runs, after a question. A run that is still alive is refused.

    Example: lmkit runs remove --where state=failed --where 'started<2026-01-01'
    """
    from lmkit.cli.runs_remove import remove_command

    remove_command(wanted or (), where or (), folder or context.obj, yes)


@runs_app.command("sync")
def sync(
    context: typer.Context,
    wanted: RunIds = None,
    folder: RunsFolder = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
) -> None:
    """Send trackers what they lack: of the runs named, else of all.

    Runs that were mirrored offline are sent to their server. It may be done again and again, and while runs go on.

    Exit codes: 0 done, 4 a tracker could not be reached.
    """
    from lmkit.cli.runs_sync import sync_command

    sync_command(wanted or (), folder or context.obj, as_json)


@cache_app.command("list")
def list_cache(as_json: AsJson = False) -> None:
    """List what the cache holds, by sort: rows, tokenizers, features, studies, and what plugins keep."""
    from lmkit.cli.cache import list_command

    list_command(as_json)


@cache_app.command("clear")
def clear_cache(
    sorts: Annotated[
        list[str] | None,
        typer.Argument(metavar="SORT", help="What to remove; by default rows, tokenizers, features and studies."),
    ] = None,
    unused: Annotated[
        float | None,
        typer.Option("--unused", metavar="DAYS", min=0, help="Only what was not used for so many days."),
    ] = None,
) -> None:
    """Remove what the cache holds. What lmkit made is made again when it is needed; runs are not touched.

    Example: lmkit cache clear --unused 30

    What plugins keep, such as downloaded wheels, is removed only where it is named.
    """
    from lmkit.cli.cache import clear_command

    clear_command(tuple(sorts or ()), unused)


app.add_typer(plugins_app, name="plugins")
app.add_typer(runs_app, name="runs")
app.add_typer(cache_app, name="cache")


STOPPED = 130
"""The exit code of what the user stopped."""

UNUSABLE_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
"""What the system says of a path that leads to no file, whatever its rights."""


def main() -> None:
    """The entry point: an error made for people is printed as one message, with the exit code of its kind."""
    from lmkit.terminal import guarded_streams, open_missing_streams

    open_missing_streams()
    with guarded_streams("stdout"), guarded_streams("stderr", redacts=True):
        code = _run_command()
        if code == 0:
            _report_plugin_files()
        sys.exit(code or _check_output())


def _run_command() -> int:
    """Run the command that was typed; its exit code."""
    from lmkit.errors import LmkitError, bounded
    from lmkit.terminal import ReaderGoneError

    try:
        os.getcwd()
    except OSError as error:
        reason = os.strerror(error.errno or errno.ENOENT)
        print(f"the working folder cannot be used ({reason}); change to another one with `cd`", file=sys.stderr)
        return 4
    try:
        _app_for(sys.argv[1:])()
    except LmkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except ReaderGoneError:
        return 0
    except SystemExit as end:
        if end.code == STOPPED:  # typer makes that of Ctrl-C, and says nothing
            print("stopped", file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if message := _message_of_plugin(error) or _message_of_system(error):
            print(bounded(message), file=sys.stderr)
            return 4
        if "-v" in sys.argv or "--verbose" in sys.argv:
            import traceback

            traceback.print_exc()
            return 1
        print(bounded(f"lmkit met an error it did not expect: {type(error).__name__}: {error}"), file=sys.stderr)
        print("The run's log.txt has the traceback; -v prints it. Please report it if it is lmkit's.", file=sys.stderr)
        return 1
    return 0


def _report_plugin_files() -> None:
    """Log a line for each file in LMKIT_PLUGINS that fails, after a command that needed no plugin too."""
    if not os.environ.get("LMKIT_PLUGINS") or {"plugins", "--help", "-h", "--version"} & set(sys.argv):
        return
    from lmkit.errors import UsageError
    from lmkit.plugins import installed_plugins

    with suppress(UsageError):  # a file that is not there; a command that needs plugins has refused it
        installed_plugins()


def _app_for(arguments: list[str]) -> typer.Typer:
    """The command line with no more commands than the one that is typed, where that is known.

    typer builds the options of all commands before it looks which is meant: a tenth of the time of `lmkit check`.
    """
    first = arguments[0] if arguments else ""
    commands = [one for one in app.registered_commands if first in (one.name, getattr(one.callback, "__name__", ""))]
    groups = [one for one in app.registered_groups if one.name == first]
    if not (commands or groups):
        return app
    smaller = copy(app)
    smaller.registered_commands, smaller.registered_groups = commands, groups
    return smaller


def _check_output() -> int:
    """The exit code of a command that did what it should: that of a disk that is full where its output got lost."""
    from lmkit.errors import ResourceError
    from lmkit.terminal import unwritten

    lost = unwritten()
    if lost is None:
        return 0
    print(f"standard output could not be written: {lost.strerror or lost}", file=sys.stderr)
    return ResourceError.exit_code


def _message_of_plugin(error: Exception) -> str | None:
    """What to print of an error that arose in a plugin's code; None for one of lmkit's own."""
    from lmkit.errors import PluginError
    from lmkit.plugins import installed_plugins

    try:
        installed_plugins().catalog.answering_for_plugins.answer(error)
    except PluginError as answered:
        return str(answered)
    return None


def _message_of_system(error: Exception) -> str | None:
    """What to print where the system refused a file, which is nobody's bug; None for any other error."""
    from lmkit.records.files import MACHINE, REFUSED, machine_fault, named_file, system_error

    number, file = system_error(error), named_file(error)
    if number in MACHINE:
        return f"{file}: {machine_fault(number)}" if file else machine_fault(number)
    if number in (*REFUSED, *UNUSABLE_NAMES) and file is not None:
        return f"{file} cannot be read or written: {os.strerror(number)}; choose another, or change its rights"
    return None


if __name__ == "__main__":
    main()

"""The commands of `lmkit`, as typer sees them. Nothing heavy is imported here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="lmkit",
    help="Run language-model experiments from typed recipes.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
runs_app = typer.Typer(help="List runs and tell what came of them.", rich_markup_mode=None, invoke_without_command=True)
app.add_typer(runs_app, name="runs")

RunsFolder = Annotated[
    Path | None, typer.Option("--runs", metavar="DIR", help="Folder of runs; by default LMKIT_RUNS, else ./runs.")
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
) -> None:
    """Run language-model experiments from typed recipes."""


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings to change: optimizer.lr=3e-5 model=lstm"),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="STAGE", help="Run only this stage, train or evaluate; may be repeated."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the run, instead of the recipe's.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed, instead of the recipe's.")] = None,
    runs: RunsFolder = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell every fault's traceback.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the run's folder only.")] = False,
) -> None:
    """Run a recipe: train, evaluate, and keep a record.

    Example: lmkit run recipes/sentiment.yaml optimizer.lr=3e-5 train.epochs=1

    Exit codes: 0 done, 1 a bug, 2 the recipe, the command or the data, 4 a plugin or the machine (disk, network,
    package index, memory), 130 stopped by Ctrl-C.
    """
    from lmkit.cli.run import run_command

    run_command(recipe, tuple(overrides or ()), tuple(stage or ()), name, seed, runs, verbose=verbose, quiet=quiet)


@runs_app.callback()
def runs(context: typer.Context, folder: RunsFolder = None, as_json: AsJson = False) -> None:
    """List runs, oldest first. `lmkit runs show ID` tells one."""
    if context.invoked_subcommand is None:
        from lmkit.cli.runs import list_command

        list_command(folder, as_json)
    else:
        context.obj = folder


@runs_app.command("show")
def show(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="ID", help="A run's id, or the beginning or end of one.")],
    folder: RunsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tell one run: what was run, on what, and what came of it."""
    from lmkit.cli.runs import show_command

    show_command(wanted, folder or context.obj, as_json)


def main() -> None:
    """The entry point: errors made for people are told as one message with the exit code of their kind."""
    from lmkit.errors import LmkitError

    try:
        app()
    except LmkitError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        print(f"lmkit met an error it did not expect: {type(error).__name__}: {error}", file=sys.stderr)
        print("The run's log.txt has the traceback; -v prints it. Please report it if it is lmkit's.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The command `lmkit`, also as `python -m lmkit`: it says in a line that it was stopped, from its first moment on."""

from __future__ import annotations

import sys

from lmkit.collecting import collect_no_more, collect_seldom
from lmkit.terminating import ignore_terminations, take_terminations


def main() -> None:
    """The entry point. The command line's own imports take a while, in which it may be stopped."""
    take_terminations()
    collect_seldom()
    try:
        from lmkit.cli.main import main

        main()
    except KeyboardInterrupt:
        from lmkit.terminal import print_error

        print_error("stopped")
        sys.exit(130)
    finally:
        collect_no_more()
        ignore_terminations()
        # Where Ctrl-C came inside of an `exec`, as some imports do, Python remembers, and ends itself by the signal
        # whatever is raised; the next `exec` makes it forget.
        exec("")


if __name__ == "__main__":
    main()

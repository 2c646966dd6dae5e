"""Runs commands of lmkit one after the other in this process: a list of lines on stdin, what came of each on stdout."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

from lmkit.cli.main import main


def outcome(line: str) -> dict[str, object]:
    """The exit code and the output of one line, such as `LMKIT_BLOCK=a lmkit plugins`."""
    words = shlex.split(line)
    count = next(number for number, word in enumerate(words) if word == "lmkit")
    variables = dict(word.split("=", 1) for word in words[:count])
    before, arguments = dict(os.environ), sys.argv
    os.environ.update(variables)
    sys.argv = words[count:]
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        code = traceback.format_exc()
    finally:
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(before)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    print(json.dumps([outcome(line) for line in json.load(sys.stdin)]))

"""`python -m lmkit` is the command `lmkit`."""

from lmkit.cli.main import main

main()

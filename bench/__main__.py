"""Make `python -m bench` the same as the command `seqsum`."""

from bench.cli import main

main()

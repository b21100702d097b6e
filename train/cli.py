"""From the words on the command line to one call."""

import difflib
import re
import sys
from collections.abc import Sequence
from typing import get_args

import tyro

from train import config, data
from train.commands import Analyze, Compare, Demo, Gallery, LossName, Report, Run

Command = Run | Compare | Demo | Gallery | Report | Analyze
PROGRAM = "python -m train"
INTERRUPTED = 130  # what a shell reports after Ctrl-C
_FLAT = (
    tyro.conf.CascadeSubcommandArgs,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
)


def main(argv: Sequence[str]) -> int:
    """Runs a command; returns the exit code."""
    command = parse(argv)
    try:
        # Imported here because JAX takes seconds, and help should not.
        match command:
            case Run():
                from train import loop

                return loop.run(command, argv)
            case Compare():
                from train import compare

                if command.preset is not None:
                    from train.debias import compare as debias

                    return debias.run(command, argv)
                return compare.run(command, argv)
            case Demo():
                from train import demo

                demo.main(command)
                return 0
            case Gallery():
                from train import gallery

                gallery.main(command)
                return 0
            case Analyze():
                from train import analyze

                return analyze.run(command)
            case Report():
                from train.report.html import command as report

                return report.run(command)
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop}" if str(stop) else "interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parse(argv: Sequence[str]) -> Command:
    """Prints help without arguments; a typo ends the program with a suggestion."""
    try:
        return tyro.cli(
            Command,
            prog=PROGRAM,
            description="Train classifiers whose labels misbehave.",
            args=list(argv) or ["--help"],
            config=_FLAT,
        )
    except SystemExit as stop:
        if stop.code not in (None, 0):
            _suggest(argv)
        raise


def _suggest(argv: Sequence[str]) -> None:
    """tyro suggests flags; this does the same for the words."""
    losses = map(config.kebab, get_args(config.Loss))
    corruptions = map(config.kebab, get_args(data.Corruption))
    sources = map(config.kebab, get_args(data.Source))
    commands = map(config.kebab, get_args(Command))
    words = {*commands, *sources, *corruptions, *losses, *get_args(LossName)}
    for word in argv:
        if re.fullmatch("[a-z][a-z0-9_-]*", word, re.IGNORECASE) and word not in words:
            close = difflib.get_close_matches(word.lower(), words, cutoff=0.6)
            if close:
                print(f"{word!r}: did you mean {' or '.join(close)}?", file=sys.stderr)

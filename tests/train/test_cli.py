"""The command line: help, defaults, order, typos, and what is refused before a run."""

import dataclasses
import pathlib
import re
import subprocess
import sys
from typing import get_args

import pytest

from train import cli, commands, config, data
from train.commands import Compare, Run

ROOT = pathlib.Path(__file__).parents[2]
CHOICES = [
    choice
    for union in (data.Source, data.Corruption, config.Loss)
    for choice in get_args(union)
]
SHORT = (commands.Demo, commands.Gallery, commands.Report)  # nothing to choose
RENAMED = {"name": "optimizer", "decay": "schedule"}  # of config.Optimizer


def printed_help(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        cli.parse([*argv, "--help"] if argv else [])
    assert stop.value.code in (None, 0)
    return re.sub(r"[\s│]+", " ", capsys.readouterr().out)


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        cli.parse(argv)
    assert stop.value.code not in (None, 0)
    captured = capsys.readouterr()
    return re.sub(r"[\s│]+", " ", captured.out + captured.err)


def test_without_arguments_it_prints_help(capsys):
    text = printed_help(capsys)
    for command in ("run", "compare", "demo", "gallery", "report"):
        assert f"• {command} " in text


@pytest.mark.parametrize("choice", CHOICES)
def test_help_of_a_choice_shows_its_fields_and_defaults(capsys, choice):
    text = printed_help(capsys, "run", config.kebab(choice))
    for field in dataclasses.fields(choice):
        if field.name == "data_dir":
            continue
        if field.default is dataclasses.MISSING:
            assert "(required)" in text
        else:
            flag, default = field.name.replace("_", "-"), field.default
            assert re.search(rf"--{flag}.*\(default: {default}\)", text)


@pytest.mark.parametrize("command", [Run, Compare, *SHORT])
def test_help_of_a_command_shows_its_fields_and_defaults(capsys, command):
    text = printed_help(capsys, config.kebab(command))
    fields = [*dataclasses.fields(command)]
    if command not in SHORT:
        fields += dataclasses.fields(config.Fit)
    for field in fields:
        if isinstance(field.default, str | int | float) or field.default is None:
            flag, default = field.name.replace("_", "-"), field.default
            assert re.search(rf"--{flag}.*\(default: {default}\)", text)
    if command is Run:
        for field in dataclasses.fields(config.Optimizer):
            flag = RENAMED.get(field.name, field.name).replace("_", "-")
            assert re.search(rf"--{flag} .*\(default: {field.default}\)", text)
    if command not in SHORT:
        for union in (data.Source, data.Corruption):
            assert all(f"• {config.kebab(each)} " in text for each in get_args(union))


def test_the_names_of_compare_are_those_of_the_losses():
    names = [config.kebab(loss) for loss in get_args(config.Loss)]
    assert list(get_args(commands.LossName)) == names


@pytest.mark.parametrize(
    "words",
    [
        "run --epochs 7 digits long-tail --imbalance 9 gala --lambda1 1.2",
        "run gala --lambda1 1.2 long-tail --imbalance 9 --epochs 7",
        "run --imbalance 9 --epochs 7 gala --lambda1 1.2",
    ],
)
def test_choices_come_in_any_order_and_may_be_left_out(words):
    assert cli.parse(words.split()) == Run(
        corruption=data.LongTail(9.0),
        loss=config.Gala(lambda1=1.2),
        fit=config.Fit(epochs=7),
    )


def test_flags_of_the_optimizer_and_of_a_data_set():
    words = "run tfds mnist clean --optimizer adam --schedule constant --widths 8 4"
    command = cli.parse(words.split())
    assert isinstance(command, Run)
    assert command.source == data.Tfds("mnist")
    optimizer = config.Optimizer(name="adam", decay="constant")
    assert command.fit == config.Fit(widths=(8, 4), optimizer=optimizer)


def test_losses_and_learning_rates_of_a_comparison():
    words = "compare --losses focal gala --learning-rates 1 2 clean --seeds 3"
    command = cli.parse(words.split())
    assert isinstance(command, Compare)
    assert command.losses == ("focal", "gala")
    assert command.learning_rates == (1.0, 2.0)
    assert (command.corruption, command.seeds) == (data.Clean(), 3)


def test_data_dir_reaches_the_source():
    command = cli.parse(["run", "--data-dir", "there", "tfds", "mnist"])
    assert isinstance(command, Run)
    task = commands.task_of(command)
    assert task.source == data.Tfds("mnist", data_dir="there")


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("rum", "did you mean run"),
        ("run galla", "did you mean gala"),
        ("run long-tall gala", "did you mean long-tail"),
        ("compare --losses cross-entropi", "did you mean cross-entropy"),
        ("run --epoch 3", "--epochs INT"),
        ("run --lamda1 3", "--lambda1 FLOAT"),
        ("run --optimizer sdg", "'sgd', 'adam'"),
        ("run --epochs many", "invalid"),
        ("run tfds", "required"),
    ],
)
def test_typos_are_errors_with_a_suggestion(capsys, words, suggestion):
    assert suggestion in fails(capsys, *words.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --epochs 0", "epochs must be at least 1, got 0"),
        ("run --batch-size 0", "batch size must be at least 1"),
        ("run --widths 0", "widths must be at least 1"),
        ("run --learning-rate -1", "learning rate must be positive"),
        ("run --warmup 2", "warmup is a share"),
        ("run gala --decay 2", "decay"),
        ("run --imbalance 0.5", "imbalance: got 0.5"),
        ("run --seed -1", "seed: got -1"),
        ("compare --methods erm", "belong to a --preset"),
        ("compare --preset coloured_digits_debias --losses gala", "methods, not los"),
        ("compare --preset coloured_digits_debias --methods gg", "did you mean gge"),
        ("compare --preset coloured_digits_debias --methods erm erm", "must differ"),
        ("compare --preset coloured_digits_debias --seeds 1", "2 seeds at least"),
        ("compare --preset coloured_digits_debias --epochs 0", "epochs must be at"),
        ("compare --preset coloured_digits_debias --length 0", "must be positive"),
        ("compare --preset coloured_digits_debias --gce-q 2", "gce-q must be in"),
        ("compare --preset coloured_digits_debias --warmup 0", "brings its optimizer"),
        ("compare --preset coloured_digits_debias clean", "not about clean"),
        (
            "compare --preset coloured_digits_debias coloured-background --confusing 0",
            "confusing classes: got 0",
        ),
        ("compare --losses gala gala", "losses must differ"),
        ("compare --seeds 1", "2 seeds at least"),
        ("compare --learning-rates 0.1 nan", "learning rate must be positive"),
        ("run tfds minst clean", "did you mean mnist"),
    ],
)
def test_refused_before_anything_is_written(capsys, tmp_path, data_dir, words, message):
    out = tmp_path / "out"
    argv = [*words.split(), "--out", str(out), "--data-dir", data_dir]
    assert cli.main(argv) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_folder_with_something_in_it_is_left_alone(capsys, tmp_path, command):
    (tmp_path / "precious").write_text("mine")
    assert cli.main([command, "--out", str(tmp_path)]) == 1
    assert "nothing is overwritten: choose another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_help_in_a_process_of_its_own_comes_without_jax():
    code = (
        "import sys; from train.cli import parse\n"
        "try: parse([])\n"
        "finally: print('jax' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "False"

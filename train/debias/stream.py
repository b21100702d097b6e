"""One training on VQA v2 or VQA-CP v2: features stay on disk, batches stream.

The step is that of `compare --preset`; this loop only feeds it. Bias models that are
fitted first and held would need what they say about every question in memory: methods
that learn in the same step, as in the papers, are what is offered here.
"""

import functools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from train import interrupt
from train.commands import Vqa
from train.data.vqa.boxes import BoxArray, Boxes, BoxFolder, BoxHdf5
from train.data.vqa_v2 import Questions, Recipe, VqaBatch, read_vqa
from train.debias.ensemble import Networks, facts_of, make_ensemble, phases_of
from train.debias.methods import METHODS, Method
from train.debias.rules import Batch
from train.debias.step import Ensemble, State, init_state, train_step
from train.report import progress
from train.run_folder import RunFolder, new_path
from train.vqa_models import question_only, top_down


def run(command: Vqa, argv: Sequence[str]) -> int:
    method = check(command)
    path = new_path(command.out, "vqa", command.method)
    train, test = read(command)
    training = make(command, method, train)
    key = jax.random.fold_in(jax.random.key(0), command.seed)
    facts = {
        "sizes": {"train": len(train), "test": len(test)},
        "answers": len(train.known.answers),
        "words": len(train.known.words),
        "question_types": len(train.known.question_types),
    }
    print(
        f"{len(train)} questions to train on, {len(test)} to test; "
        f"{facts['answers']} answers, {facts['question_types']} types of question"
    )
    with RunFolder(path, command, argv, facts) as folder:
        state, lines = _train(training, command, train, test, key, folder)
        if len(lines) < command.epochs:
            raise KeyboardInterrupt(f"{path} holds everything up to epoch {len(lines)}")
        best = max(lines, key=lambda line: line["test"])
        text = (
            f"test accuracy {100 * lines[-1]['test']:.2f} % after the last epoch; the "
            f"best of all epochs, {100 * best['test']:.2f} % after epoch "
            f"{best['epoch']}, was chosen on the test"
        )
        folder.write_text("table.txt", text)
        folder.write_json("results.json", {"last": lines[-1], "best_on_test": best})
    print(f"{text}\nEverything is in {path}")
    return 0


def check(command: Vqa) -> Method:
    methods = METHODS["questions"]
    offered = {
        name: m
        for name, m in methods.items()
        if m.mode != "first" or not {"shortcut", "self"} & {*m.bias}
        if m.rule not in ("group-dro", "group-weighted", "learning-from-failure")
    }
    if command.method not in offered:
        raise ValueError(
            f"method must be one of {' '.join(offered)} where features are streamed, "
            f"got {command.method!r}"
        )
    for name in ("epochs", "batch_size"):
        if getattr(command, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(command, name)}")
    return offered[command.method]


def read(command: Vqa) -> tuple[Questions, Questions]:
    recipe = Recipe(
        minimum_answers=command.minimum_answers,
        boxes=command.boxes,
        features=command.features_per_box,
    )
    boxes = open_boxes(command.features)
    files = command.train_questions, command.train_annotations
    train = read_vqa(*files, boxes, recipe=recipe)
    files = command.test_questions, command.test_annotations
    test = read_vqa(*files, boxes, recipe=recipe, known=train.known)
    if len(train) < command.batch_size:
        raise ValueError(
            f"{command.train_questions} has {len(train)} questions, less than one "
            f"batch of {command.batch_size}"
        )
    return train, test


def open_boxes(path: pathlib.Path) -> Boxes:
    """By what is there: a folder, an HDF5 file, or an array with its ids beside it."""
    if path.is_dir():
        return BoxFolder(path)
    if path.suffix in (".h5", ".hdf5"):
        return BoxHdf5(path)
    return BoxArray(path, path.with_name(f"{path.stem}_ids.npy"))


class Training(NamedTuple):
    ensemble: Ensemble
    phases: tuple[tuple[str, ...], ...]
    usual: np.ndarray  # most frequent answer by type of question


def make(command: Vqa, method: Method, train: Questions) -> Training:
    known, recipe = train.known, train.recipe
    words, answers = len(known.words), len(known.answers)
    networks = Networks(
        base=top_down(
            words,
            recipe.features,
            answers,
            embedding=command.embedding,
            state=command.hidden,
            hidden=command.hidden,
        ),
        shortcut=question_only(
            words,
            answers,
            embedding=command.embedding,
            state=command.hidden,
            hidden=command.hidden,
        ),
        base_features=2 * command.hidden,
        num_classes=answers,
        num_cues=len(known.question_types),
        link="sigmoid",
        form="exact",
    )
    label = [ids[np.argmax(s)] if len(ids) else -1 for ids, s in train.scored]
    steps = command.epochs * (len(train) // command.batch_size)
    priors = train.answer_priors()
    ensemble = make_ensemble(
        [method],
        0,
        command.hyper,
        networks,
        facts_of(networks, jnp.asarray(label), jnp.asarray(train.question_type), steps),
        lambda: jnp.asarray(priors, jnp.float32),
        dict.fromkeys(("base", "bias"), paper_optimizer(command)),
    )
    phases = phases_of(method.mode, [*ensemble.members])
    return Training(ensemble, phases, priors.argmax(-1))


def paper_optimizer(command: Vqa) -> optax.GradientTransformation:
    """Adamax on gradients clipped by their norm, as the released code has it."""
    clip = optax.clip_by_global_norm(command.clip)
    return optax.chain(clip, optax.adamax(command.learning_rate))


def as_batch(batch: VqaBatch, usual: np.ndarray) -> Batch:
    cue = batch.inputs.question_type
    return Batch(
        inputs=batch.inputs,
        targets=batch.targets,
        label=batch.label,
        cue=cue,
        conflicting=batch.label != usual[cue],
        index=batch.index,
    )


def _train(
    training: Training,
    command: Vqa,
    train: Questions,
    test: Questions,
    key: Array,
    folder: RunFolder,
) -> tuple[State, list[dict[str, Any]]]:
    ensemble, phases, usual = training

    @functools.partial(jax.jit, donate_argnums=0)
    def advance(state, batch):
        return train_step(ensemble, phases, state, batch)

    state = jax.jit(lambda key: init_state(ensemble, key))(key)
    batches: Iterator[VqaBatch] = train.batches(command.batch_size, seed=command.seed)
    lines: list[dict[str, Any]] = []
    steps = len(train) // command.batch_size
    with (
        interrupt.deferred() as interrupted,
        progress.show("step", command.epochs * steps) as show,
    ):
        while len(lines) < command.epochs and not interrupted.is_set():
            sums: dict[str, Array] | None = None
            for step in range(1, steps + 1):
                state, numbers = advance(state, as_batch(next(batches), usual))
                sums = numbers if sums is None else jax.tree.map(jnp.add, sums, numbers)
                show(len(lines) * steps + step, f"epoch {len(lines) + 1}")
            means = {name: float(total) / steps for name, total in (sums or {}).items()}
            accuracy = evaluate(ensemble, state, test, command.batch_size)
            lines.append({"epoch": len(lines) + 1, **means, "test": accuracy})
            folder.log("metrics.jsonl", lines[-1])
            folder.scalars(
                len(lines), {k: v for k, v in lines[-1].items() if k != "epoch"}
            )
            if not math.isfinite(means["loss/base"]):
                raise RuntimeError(
                    f"the loss is {means['loss/base']} in epoch {len(lines)}: try a "
                    "smaller --learning-rate"
                )
            arrays = {"params": state.params["base"], "stats": state.stats["base"]}
            folder.write_arrays("last.npz", arrays)
    return state, lines


def evaluate(
    ensemble: Ensemble, state: State, test: Questions, batch_size: int
) -> float:
    """Mean score of the predicted answers."""
    model = ensemble.members["base"].model

    @jax.jit
    def scores(params: Any, stats: Any, inputs: Mapping[str, Any], targets: Array):
        logits = model.apply(params, stats, inputs)[0].logits
        predicted = jnp.argmax(logits, axis=-1, keepdims=True)
        return jnp.sum(jnp.take_along_axis(targets, predicted, axis=-1))

    params = state.params["base"], state.stats["base"]
    batches = test.batches(batch_size, seed=None, epochs=1)
    total = sum(float(scores(*params, b.inputs, b.targets)) for b in batches)
    return total / len(test)

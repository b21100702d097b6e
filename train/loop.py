"""One training, epoch by epoch: the only place of `run` that reads clocks and files.

The arithmetic is that of `fit`, which scans over the same `epoch`.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jaxloss
from train import config, data, head, interrupt, probes
from train.commands import Run, task_of
from train.fit import (
    Progress,
    as_batch,
    epoch,
    evaluate,
    make_schedule,
    make_trainer,
    splits,
    start,
    total_steps,
)
from train.models import mlp, size
from train.report import progress as progress_report
from train.report import summary
from train.report.text import describe
from train.run_folder import RunFolder, new_path
from train.step import predict

SAVE_EVERY = 60.0  # seconds between checkpoints, besides those at the end


class Diverged(RuntimeError):
    """The loss is no number any more."""


class Compiled(NamedTuple):
    begin: Callable[[], Progress]
    advance: Callable[[Progress], tuple[Progress, dict[str, Array]]]  # donates
    logits: Callable[[Any, Any], dict[str, Array]]  # params, stats; also of `train`
    # params, stats, of the same splits; for a training whose logits are never held
    outcomes: Callable[[Any, Any], dict[str, head.Outcome]]
    statistics: Callable[[Progress], dict[str, Any]]  # of the last epoch, by probe


def compiled(
    loss: config.Loss,
    options: config.Fit,
    dataset: data.Dataset,
    seed: int,
    watch: probes.Watch = probes.NOTHING,
) -> Compiled:
    """The parts of a training as jitted functions; `sweep` uses the same keys."""
    key = jax.random.fold_in(jax.random.key(0), seed)
    # Arguments, not constants: constants would be compiled in.
    arrays = jax.device_put((dataset.train, dataset.validation, dataset.tests))

    def rebuilt(arrays):
        train, validation, tests = arrays
        return dataset._replace(train=train, validation=validation, tests=tests)

    @jax.jit
    def begin(arrays, key):
        trainer = make_trainer(loss, options, rebuilt(arrays), watch=watch)
        return start(trainer, jax.random.fold_in(key, 0))

    @partial(jax.jit, donate_argnums=0)
    def advance(progress, arrays, key):
        dataset = rebuilt(arrays)
        trainer = make_trainer(loss, options, dataset, watch=watch)
        train = as_batch(dataset.train)
        return epoch(trainer, loss, options, dataset, train, progress)

    @jax.jit
    def logits(params, stats, arrays):
        dataset = rebuilt(arrays)
        image = dataset.train.image
        model = mlp(image.shape[1:], options.widths, dataset.num_classes)
        train = predict(model, params, stats, jnp.asarray(image))
        return {"train": train, **evaluate(model, params, stats, dataset)}

    @jax.jit
    def outcomes(params, stats, arrays):
        dataset = rebuilt(arrays)
        image = dataset.train.image
        model = mlp(image.shape[1:], options.widths, dataset.num_classes)
        found = {}
        for name, split in {"train": dataset.train, **splits(dataset)}.items():
            images, labels = jnp.asarray(split.image), jnp.asarray(split.label)
            found[name] = head.predict(model, params, stats, images, labels)
        return found

    @jax.jit
    def statistics(progress, arrays):
        dataset = rebuilt(arrays)
        labels = jnp.asarray(dataset.train.label)
        model = mlp(dataset.train.image.shape[1:], options.widths, dataset.num_classes)
        counts = jnp.bincount(labels, length=dataset.num_classes)
        found = probes.of_training(watch, dataset, model).read(progress.state.probe)
        kernel = model.kernel(progress.state.params)
        return probes.with_class_vectors(found, kernel, counts)

    # Traces without running, so that what `begin` refuses is refused here.
    jax.eval_shape(begin, arrays, key)
    return Compiled(
        lambda: begin(arrays, key),
        lambda progress: advance(progress, arrays, key),
        lambda params, stats: logits(params, stats, arrays),
        lambda params, stats: outcomes(params, stats, arrays),
        lambda progress: statistics(progress, arrays),
    )


def run(command: Run, argv: Sequence[str]) -> int:
    task = task_of(command)
    names = config.name_of(task.corruption), config.name_of(command.loss)
    config.check(command.fit)
    path = new_path(command.out, *names)
    dataset = data.load(task.source, task.corruption, command.seed)
    watch = _watch(command, dataset)
    training = compiled(command.loss, command.fit, dataset, command.seed, watch)
    title = f"{config.name_of(task.source)}, {names[0]}, {names[1]}"
    print(f"{title}, seed {command.seed}\n{describe(dataset.facts)}")
    with RunFolder(path, command, argv, dataset.facts) as folder:
        progress = _train(training, command.fit, dataset, watch, folder, title)
        text = _summarise(training, progress, command, dataset, folder)
        done = int(progress.epoch)
        if done < command.fit.epochs:
            raise KeyboardInterrupt(f"{path} holds everything up to epoch {done}")
    print(f"\n{text}\nEverything is in {path}")
    return 0


def _watch(command: Run, dataset: data.Dataset) -> probes.Watch:
    tailed = isinstance(command.corruption, data.LongTail)
    return probes.Watch(
        names=tuple(n for n in probes.ALL if {n, "all"} & {*command.probes}),
        shots=(command.many, command.few) if tailed else None,
        noise=bool(np.any(dataset.train.label != dataset.train.true_label)),
    )


def _train(
    training: Compiled,
    options: config.Fit,
    dataset: data.Dataset,
    watch: probes.Watch,
    folder: RunFolder,
    title: str,
) -> Progress:
    progress = training.begin()
    rate = _rates(options, dataset)
    matrix = None
    print(f"{size(progress.state.params)} parameters, {options.epochs} epochs")
    lines: list[dict[str, Any]] = []
    saved = time.monotonic()
    try:
        with (
            interrupt.deferred() as interrupted,
            progress_report.show("epoch", options.epochs) as show,
        ):
            while len(lines) < options.epochs and not interrupted.is_set():
                progress, numbers = training.advance(progress)
                line = _line(len(lines) + 1, numbers, splits(dataset))
                lines.append(line | {"learning_rate": rate(progress)})
                _log(folder, lines[-1])
                if watch.names:
                    found = jax.device_get(training.statistics(progress))
                    matrix = _add_matrix(matrix, found)
                    _log_statistics(folder, len(lines), found, watch)
                _require_finite(lines[-1], options.optimizer)
                show(len(lines), _note(lines[-1]))
                if time.monotonic() - saved > SAVE_EVERY:
                    _save(folder, progress)
                    saved = time.monotonic()
    finally:
        if lines:
            folder.write_figure("curves.png", summary.curves(lines, title))
    _save(folder, progress)
    if matrix is not None:
        folder.write_arrays("statistics.npz", {"class_matrix": matrix})
    return progress


def _rates(options: config.Fit, dataset: data.Dataset) -> Callable[[Progress], float]:
    """The learning rate of the step that was taken last."""
    steps = total_steps(options, len(dataset.train.label))
    schedule = jax.jit(make_schedule(options.optimizer, steps))
    return lambda progress: float(schedule(progress.state.step - 1))


def _add_matrix(total: Any, found: dict[str, Any]) -> Any:
    """Of the classes, over all epochs; a sum of many, hence in double precision."""
    if "class_gradients" not in found:
        return None
    matrix = np.asarray(found["class_gradients"].matrix, np.float64)
    return matrix if total is None else total + matrix


def _log_statistics(
    folder: RunFolder, number: int, found: dict[str, Any], watch: probes.Watch
) -> None:
    line = probes.statistics(found, watch)
    folder.log("statistics.jsonl", {"epoch": number, **line})
    folder.scalars(number, probes.scalars(line))
    for name, result in found.items():
        if isinstance(result, jaxloss.Histogram):
            edges, groups = np.asarray(result.edges), line[name]["groups"]
            for group, counts in zip(groups, np.asarray(result.counts), strict=True):
                folder.histogram(number, f"{name}/{group}", edges, counts)


def _line(
    number: int, numbers: dict[str, Array], names: Iterable[str]
) -> dict[str, Any]:
    values = {name: float(value) for name, value in numbers.items()}
    return {
        "epoch": number,
        "loss": values["loss"],
        "gradient_norm": values["gradient_norm"],
        "balanced_accuracy": {name: values[name] for name in names},
        "negative_log_likelihood": {name: values[f"{name}_nll"] for name in names},
    }


def _log(folder: RunFolder, line: dict[str, Any]) -> None:
    folder.log("metrics.jsonl", line)
    names = ("loss", "gradient_norm", "learning_rate")
    scalars = {name: line[name] for name in names}
    for metric in ("balanced_accuracy", "negative_log_likelihood"):
        scalars |= {f"{metric}/{name}": value for name, value in line[metric].items()}
    folder.scalars(line["epoch"], scalars)


def _note(line: dict[str, Any]) -> str:
    accuracies = line["balanced_accuracy"].items()
    return f"loss {line['loss']:.4g}, " + ", ".join(
        f"{name} {100 * value:.1f} %" for name, value in accuracies
    )


def _require_finite(line: dict[str, Any], optimizer: config.Optimizer) -> None:
    for name in ("loss", "gradient_norm"):
        if not math.isfinite(line[name]):
            raise Diverged(
                f"the {name.replace('_', ' ')} is {line[name]} in epoch "
                f"{line['epoch']}, at learning rate {optimizer.learning_rate:g}: try a "
                "smaller --learning-rate or a longer --warmup"
            )


def _save(folder: RunFolder, progress: Progress) -> None:
    state = progress.state
    folder.write_arrays("last.npz", {"params": state.params, "stats": state.stats})
    best = {"params": progress.best_params, "stats": progress.best_stats}
    folder.write_arrays("best.npz", best)


def _summarise(
    training: Compiled,
    progress: Progress,
    command: Run,
    dataset: data.Dataset,
    folder: RunFolder,
) -> str:
    """Measures the last and the best parameters on every split."""
    state = progress.state
    fused = dataset.num_classes > command.fit.fused_above
    predict: Callable[..., Any] = training.outcomes if fused else training.logits
    found = {
        "last": predict(state.params, state.stats),
        "best": predict(progress.best_params, progress.best_stats),
    }
    counts = np.bincount(dataset.train.label, minlength=dataset.num_classes)
    shots = None
    notes = [f"best: epoch {int(progress.best_epoch)}, by validation balanced accuracy"]
    if isinstance(command.corruption, data.LongTail):
        shots = counts, command.many, command.few
        notes.append(
            f"many / medium / few: mean accuracy of the classes with > {command.many} "
            f"/ between / < {command.few} training images"
        )
    labels = {
        name: split.label
        for name, split in {"train": dataset.train, **splits(dataset)}.items()
    }
    measure = summary.measure_outcomes if fused else summary.measure
    results = measure(found, labels, shots)
    folder.write_json(
        "classes.json",
        {
            "class_names": dataset.class_names,
            "train_counts": counts.tolist(),
            "many": command.many if shots else None,
            "few": command.few if shots else None,
            "splits": summary.measure_classes(found, labels, dataset.num_classes),
        },
    )
    text = "\n".join([summary.table(results), "", *notes])
    folder.write_text("table.txt", text)
    folder.write_json(
        "results.json",
        {
            "epochs": int(progress.epoch),
            "best_epoch": int(progress.best_epoch),
            "splits": results,
        },
    )
    return text

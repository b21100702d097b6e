"""Names for runs: as short as what differs between them allows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from train.report.html.record import RunRecord

# Where a run was written, where it read, and who watched, change nothing about it.
_HARMLESS = {"out", "data_dir", "probes"}
_DATA = ("source", "corruption")


class Group(NamedTuple):
    """Runs that differ in nothing but the seed."""

    name: str
    members: tuple[int, ...]


def named(records: Sequence[RunRecord]) -> tuple[list[str], list[Group]]:
    """The name of each run, and the groups in the order of their first runs."""
    chosen = [dict(_flat(record.config.get("chosen", {}))) for record in records]
    seeds = [values.pop("seed", None) for values in chosen]
    members: dict[Any, list[int]] = {}
    for i, values in enumerate(chosen):
        # A record without choices is like no other, and half a training no seed.
        key = tuple(sorted((k, repr(v)) for k, v in values.items())) or i
        members.setdefault((key, _unfinished(records[i])), []).append(i)
    firsts = [runs[0] for runs in members.values()]
    differing = _differing([chosen[i] for i in firsts if chosen[i]])
    titles = _unique(
        [
            (_title(chosen[i], differing) or records[i].name) + _unfinished(records[i])
            for i in firsts
        ],
        [records[i].name for i in firsts],
    )
    names = [""] * len(records)
    show_seed = len({seed for seed in seeds if seed is not None}) > 1
    groups = []
    for title, runs in zip(titles, members.values(), strict=True):
        groups.append(Group(title, tuple(runs)))
        for i in runs:
            tail = f", seed {seeds[i]}" if show_seed and seeds[i] is not None else ""
            names[i] = title + tail
    return _unique(names, [record.name for record in records]), groups


def _unfinished(record: RunRecord) -> str:
    ended = record.status.get("status", "finished") == "finished"
    return "" if ended else ", unfinished"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, element in value.items():
            if key not in _HARMLESS:
                yield from _flat(element, f"{path}.{key}" if path else key)
    else:
        yield path, tuple(value) if isinstance(value, list) else value


def _differing(chosen: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths with two values at least; one that only some runs have is no difference."""
    paths = {path: None for values in chosen for path in values}
    return [
        path
        for path in paths
        if len({values[path] for values in chosen if path in values}) > 1
    ]


def _title(values: Mapping[str, Any], differing: Sequence[str]) -> str:
    if not values:
        return ""
    words = [str(values.get("loss.kind", values.get("kind", "run")))]
    data = [f"{part}.kind" for part in _DATA]
    words += [str(values[path]) for path in data if path in differing]
    words += [
        f"{path.rpartition('.')[2].replace('_', ' ')} {_short(values[path])}"
        for path in differing
        if path in values and path not in ("loss.kind", *data)
    ]
    return ", ".join(words)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _unique(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Adds the folder where names are equal, and a number where folders are too."""
    doubles = {name for name in names if names.count(name) > 1}
    longer = [
        f"{name} ({folder})" if name in doubles and name != folder else name
        for name, folder in zip(names, folders, strict=True)
    ]
    return [
        name if longer.count(name) == 1 else f"{name} #{longer[: i + 1].count(name)}"
        for i, name in enumerate(longer)
    ]

"""Pictures that have a given answer and are otherwise drawn alike whatever it is.

A picture is a grid of 3 x 3 cells of 8 x 8 pixels. A cell is empty or holds a thing: a
scanned digit or one of four shapes, in a colour, on a noisy grey ground.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from train.data.vqa.grammar import COLOURS, KINDS, QUESTION_TYPES, SHAPES

GRID, CELL = 3, 8
CELLS = GRID * GRID

# How many things a picture holds unless it is asked: their number tells nothing.
THINGS = 3, 4
HUE_JITTER = 12.0  # degrees around the named colour: beyond doubt
HUE_DOUBT = 28.0  # the same where the question is about the colour; 30 is the border
RADIUS = 2.2, 3.4  # of a shape, in pixels
SMALL, LARGE = (1.4, 2.3), (3.0, 3.8)  # where the question is about the size
CONTRAST = 0.5, 1.0
GROUND = 0.2, 0.6
PIXEL_NOISE = 0.08  # standard deviation, of values in [0, 1]

# Ten people whose borders between colours differ: degrees by which each sees a hue
# turned. Quantiles of a normal distribution of standard deviation 12 at .05, .15, ...,
# so that at HUE_DOUBT six of the ten still give the colour the thing was drawn in.
ANNOTATORS = np.array([-19.7, -12.4, -8.1, -4.6, -1.5, 1.5, 4.6, 8.1, 12.4, 19.7])

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Thing:
    kind: str  # of `KINDS`
    colour: str  # of `COLOURS`
    hue: float  # degrees in [0, 360), around the centre of `colour`
    digit: int = -1  # what a digit shows; -1 for shapes
    radius: float = 0.0  # of a shape, in pixels; 0 for digits


class Scene(NamedTuple):
    question: str
    answers: tuple[str, ...]  # of ten annotators
    cells: tuple[Thing | None, ...]  # row by row
    relevant: np.ndarray  # bool [CELLS], what the question is about


class _Plan(NamedTuple):
    """What one question needs to have its answer."""

    asked: list[Thing]
    may_appear: Callable[[Thing], bool]  # besides what is asked about
    words: dict[str, str] = {}
    radius: tuple[float, float] = RADIUS  # of the shapes that are not asked about
    total: int | None = None  # things in the picture; drawn from `THINGS` when None


def draw_scene(question_type: str, answer: str, rng: np.random.Generator) -> Scene:
    """Draws a wording and a picture to which `answer` is the answer."""
    plan = _PLANS[question_type](answer, rng)
    total = _pick(THINGS, rng) if plan.total is None else plan.total
    things = list(plan.asked)
    while len(things) < total:
        thing = _thing(rng, radius=plan.radius)
        if plan.may_appear(thing):
            things.append(thing)
    places = rng.permutation(CELLS)[: len(things)]
    cells: list[Thing | None] = [None] * CELLS
    for place, thing in zip(places, things, strict=True):
        cells[place] = thing
    relevant = np.zeros(CELLS, bool)
    relevant[places[: len(plan.asked)]] = True
    wording = _pick(QUESTION_TYPES[question_type].wordings, rng)
    answers = (answer,) * len(ANNOTATORS)
    if question_type == "what_colour":
        answers = tuple(colour_names(plan.asked[0].hue + ANNOTATORS))
    return Scene(wording.format(**plan.words), answers, tuple(cells), relevant)


def colour_names(hues: np.ndarray) -> list[str]:
    """The named colour next to each hue [degrees]."""
    return [COLOURS[i] for i in np.rint(hues / 60).astype(int) % len(COLOURS)]


def render(
    scenes: Sequence[Scene], scans: dict[int, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Paints scenes.

    Args:
        scenes: n of them, what is where.
        scans: for each digit, its scans [k, 8, 8] in [0, 1], one of which is drawn.
        rng: of the scans, positions, contrasts, ground and noise.
    Returns:
        RGB, uint8 [n, 24, 24, 3].
    """
    n = len(scenes)
    things = [thing for scene in scenes for thing in scene.cells]
    colour = np.array([rgb(thing.hue) if thing else np.zeros(3) for thing in things])
    ink = _ink(things, scans, rng) * rng.uniform(*CONTRAST, len(things))[:, None, None]
    ground = rng.uniform(*GROUND, n).repeat(CELLS)[:, None, None, None]
    cells = ground + ink[..., None] * (colour[:, None, None, :] - ground)
    blocks = cells.reshape(n, GRID, GRID, CELL, CELL, 3).transpose(0, 1, 3, 2, 4, 5)
    images = blocks.reshape(n, GRID * CELL, GRID * CELL, 3)
    images = images + PIXEL_NOISE * rng.standard_normal(images.shape)
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def rgb(hue: float) -> np.ndarray:
    """The pure colour of a hue [degrees]: full saturation, full value."""
    distance = np.abs((hue - np.array([0, 120, 240]) + 180) % 360 - 180) / 60
    return np.minimum(np.maximum(2 - distance, 0), 1)


def _ink(
    things: Sequence[Thing | None],
    scans: dict[int, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """How much of each pixel [things, 8, 8] is covered, in [0, 1]."""
    kind = np.array([thing.kind if thing else "" for thing in things])
    radius = np.array([thing.radius if thing else 0.0 for thing in things])
    digit = np.array([thing.digit if thing else -1 for thing in things])
    ink = np.zeros((len(things), CELL, CELL))
    for shape in SHAPES:
        rows = np.flatnonzero(kind == shape)
        centres = rng.uniform(-0.5, 0.5, (len(rows), 2))
        ink[rows] = _shape(shape, radius[rows, None, None], centres)
    for shown, known in scans.items():
        rows = np.flatnonzero(digit == shown)
        ink[rows] = known[rng.integers(len(known), size=len(rows))]
    return ink


def _shape(kind: str, radius: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Ink [n, 8, 8]; `centre` [n, 2] is relative to that of the cell, in pixels."""
    pixels = np.mgrid[:CELL, :CELL] - (CELL - 1) / 2
    y, x = np.moveaxis(pixels - centre[..., None, None], 1, 0)
    far = np.maximum(np.abs(x), np.abs(y))
    match kind:
        case "square":
            return far <= radius
        case "disc":
            return np.hypot(x, y) <= 1.1 * radius
        case "triangle":  # on its base
            return (np.abs(y) <= radius) & (2 * np.abs(x) <= y + radius)
        case "cross":
            return (far <= radius) & (3 * np.minimum(np.abs(x), np.abs(y)) <= radius)
    raise ValueError(f"unknown shape {kind!r}, wanted one of {SHAPES}")


def _pick(choices: Sequence[_T], rng: np.random.Generator) -> _T:
    return choices[
        int(rng.integers(len(choices)))
    ]  # rng.choice takes ten times as long


def _thing(
    rng: np.random.Generator,
    kind: str | None = None,
    colour: str | None = None,
    digit: int | None = None,
    radius: tuple[float, float] = RADIUS,
    jitter: float = HUE_JITTER,
) -> Thing:
    """A thing; whatever is not given is drawn, every value alike."""
    kind = _pick(KINDS, rng) if kind is None else kind
    colour = _pick(COLOURS, rng) if colour is None else colour
    hue = float((60 * COLOURS.index(colour) + rng.uniform(-jitter, jitter)) % 360)
    if kind != "digit":
        return Thing(kind, colour, hue, radius=float(rng.uniform(*radius)))
    return Thing(kind, colour, hue, int(rng.integers(10)) if digit is None else digit)


# One plan per question type


def _what_digit(answer: str, rng: np.random.Generator) -> _Plan:
    asked = _thing(rng, "digit", digit=int(answer))
    return _Plan([asked], _neither_digit_nor(asked), {"colour": asked.colour})


def _is_even(answer: str, rng: np.random.Generator) -> _Plan:
    digit = 2 * int(rng.integers(5)) + (answer == "no")
    return _what_digit(str(digit), rng)


def _neither_digit_nor(asked: Thing) -> Callable[[Thing], bool]:
    return lambda thing: thing.kind != "digit" or thing.colour != asked.colour


def _what_colour(answer: str, rng: np.random.Generator) -> _Plan:
    asked = _thing(rng, colour=answer, jitter=HUE_DOUBT)
    words = {"kind": asked.kind}
    return _Plan([asked], lambda thing: thing.kind != asked.kind, words)


def _what_shape(answer: str, rng: np.random.Generator) -> _Plan:
    asked = _thing(rng, answer)
    return _Plan(
        [asked],
        lambda thing: thing.kind == "digit" or thing.colour != asked.colour,
        {"colour": asked.colour},
    )


def _which_largest(answer: str, rng: np.random.Generator) -> _Plan:
    return _Plan([_thing(rng, answer, radius=LARGE)], lambda _: True, radius=SMALL)


def _how_many(answer: str, rng: np.random.Generator) -> _Plan:
    asked = [_thing(rng) for _ in range(int(answer))]
    return _Plan(asked, lambda _: True, total=len(asked))


def _is_colour(answer: str, rng: np.random.Generator) -> _Plan:
    asked = _thing(rng)
    named = asked.colour if answer == "yes" else _another_colour(asked.colour, rng)
    words = {"kind": asked.kind, "colour": named}
    return _Plan([asked], lambda thing: thing.kind != asked.kind, words)


def _another_colour(colour: str, rng: np.random.Generator) -> str:
    step = int(rng.integers(1, len(COLOURS)))
    return COLOURS[(COLOURS.index(colour) + step) % len(COLOURS)]


def _same_colour(answer: str, rng: np.random.Generator) -> _Plan:
    things = [_thing(rng) for _ in range(_pick(THINGS, rng))]
    if answer == "yes":
        things = [_thing(rng, colour=things[0].colour) for _ in things]
    elif len({thing.colour for thing in things}) == 1:
        return _same_colour(answer, rng)
    return _Plan(things, lambda _: True, total=len(things))


_PLANS: dict[str, Callable[[str, np.random.Generator], _Plan]] = {
    "what_digit": _what_digit,
    "what_colour": _what_colour,
    "what_shape": _what_shape,
    "which_largest": _which_largest,
    "how_many": _how_many,
    "is_even": _is_even,
    "is_colour": _is_colour,
    "same_colour": _same_colour,
}

"""What is asked, what is painted, and what the answer must not be told by."""

import dataclasses
import importlib
import itertools
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from train.data.vqa import ChangingPriorsVqa, load, vqa_accuracy
from train.data.vqa import changing_priors as builder
from train.data.vqa.encoder import encode_cells, to_cells
from train.data.vqa.grammar import ANSWERS, COLOURS, QUESTION_TYPES, SHAPES, prior
from train.data.vqa.scenes import (
    Scene,
    Thing,
    colour_names,
    draw_scene,
    render,
    rgb,
)
from train.data.vqa.text import encode, vocabulary

loading = importlib.import_module("train.data.vqa.load")
TYPES = tuple(QUESTION_TYPES)


def scenes(kind: str, answer: str, n: int) -> list[Scene]:
    rng = np.random.default_rng([TYPES.index(kind), ANSWERS.index(answer)])
    return [draw_scene(kind, answer, rng) for _ in range(n)]


def things(scene: Scene) -> list[Thing]:
    return [thing for thing in scene.cells if thing]


def answer_of(kind: str, scene: Scene) -> str:
    """The answer, worked out from the question's words and what is in the cells."""
    words = scene.question.strip("?.").split()
    there = things(scene)
    colour = next((word for word in words if word in COLOURS), None)
    kind_asked = next((w for w in words if w in SHAPES or w == "digit"), None)
    match kind:
        case "what_digit" | "is_even":
            (digit,) = [t.digit for t in there if t.kind == "digit" == kind_asked
                        and t.colour == colour]  # fmt: skip
            return str(digit) if kind == "what_digit" else ("yes", "no")[digit % 2]
        case "what_colour" | "is_colour":
            (found,) = [t.colour for t in there if t.kind == kind_asked]
            return found if kind == "what_colour" else ("no", "yes")[found == colour]
        case "what_shape":
            (found,) = [
                t.kind for t in there if t.kind in SHAPES and t.colour == colour
            ]
            return found
        case "which_largest":
            sizes = sorted((t.radius, t.kind) for t in there if t.kind in SHAPES)
            assert len(sizes) == 1 or sizes[-1][0] > 1.25 * sizes[-2][0]
            return sizes[-1][1]
        case "how_many":
            return str(len(there))
        case "same_colour":
            return ("no", "yes")[len({t.colour for t in there}) == 1]
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", TYPES)
def test_every_answer_follows_from_the_picture(kind):
    for answer in QUESTION_TYPES[kind].answers:
        for scene in scenes(kind, answer, 100):
            assert answer_of(kind, scene) == answer
            assert Counter(scene.answers).most_common(1)[0][0] == answer
            assert Counter(scene.answers)[answer] >= 6 and len(scene.answers) == 10
            asked = [t for t, r in zip(scene.cells, scene.relevant, strict=True) if r]
            if kind in ("how_many", "same_colour"):
                assert len(asked) == len(things(scene))
            else:
                assert len(asked) == 1


def nuisances(kind: str, scene: Scene) -> dict[str, object]:
    """What the answer has no business to change, besides what it is about."""
    (place, *_) = np.flatnonzero(scene.relevant)
    asked = scene.cells[place]
    assert asked is not None
    wording = [w for w in scene.question.strip("?.").split() if w not in COLOURS]
    wording = [w for w in wording if w not in SHAPES and w != "digit"]
    found: dict[str, object] = {"wording": " ".join(wording)}
    if kind != "how_many":
        found["total"] = len(things(scene))
    if kind not in ("how_many", "same_colour"):
        found["place"] = place
    if kind not in ("what_colour", "same_colour"):
        found["colour"] = asked.colour
    if kind not in ("what_shape", "which_largest"):
        found["kind"] = asked.kind
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_nuisances_do_not_tell_the_answer(kind):
    n = 400
    tables: dict[str, list[Counter]] = {}
    for answer in QUESTION_TYPES[kind].answers:
        drawn = [nuisances(kind, scene) for scene in scenes(kind, answer, n)]
        for name in drawn[0]:
            tables.setdefault(name, []).append(Counter(d[name] for d in drawn))
    for name, counters in tables.items():
        values = sorted(set().union(*counters), key=str)
        counts = np.array([[c[v] for v in values] for c in counters], float)
        expected = counts.mean(axis=0)
        chi2 = np.sum((counts - expected) ** 2 / expected)
        freedom = (len(counts) - 1) * (len(values) - 1)
        # Five standard deviations of a chi-square above its mean.
        assert chi2 <= freedom + 5 * np.sqrt(2 * freedom), name


def test_priors_by_hand():
    # Four answers, 1 : 10^(-1/3) : 10^(-2/3) : 1/10.
    weights = np.array([1, 10 ** (-1 / 3), 10 ** (-2 / 3), 0.1])
    np.testing.assert_allclose(prior("what_shape", "same"), weights / weights.sum())
    np.testing.assert_allclose(prior("is_even", "same"), [10 / 11, 1 / 11])
    np.testing.assert_allclose(prior("is_even", "reversed"), [1 / 11, 10 / 11])
    for kind, spec in QUESTION_TYPES.items():
        assert len(spec.wordings) >= 2 and set(spec.answers) <= set(ANSWERS)
        np.testing.assert_allclose(
            prior(kind, "reversed"), prior(kind, "same")[::-1], rtol=1e-12
        )
        np.testing.assert_allclose(prior(kind, "uniform"), 1 / len(spec.answers))


def test_colours_and_those_who_name_them():
    for hue, expected in {
        0: (1, 0, 0), 60: (1, 1, 0), 120: (0, 1, 0), 180: (0, 1, 1), 240: (0, 0, 1),
        300: (1, 0, 1), 30: (1, 0.5, 0), 350: (1, 0, 1 / 6), 359.9: (1, 0, 1 / 600),
    }.items():  # fmt: skip
        np.testing.assert_allclose(rgb(hue), expected, atol=1e-9)
    named = colour_names(np.array([0, 29, 31, 331, 329, 240, -20]))
    assert named == ["red", "red", "yellow", "red", "magenta", "blue", "red"]
    people = [scene.answers for scene in scenes("what_colour", "green", 200)]
    sizes = {len(set(answers)) for answers in people}
    assert sizes == {1, 2}  # some hues are beyond doubt, some are not


def test_a_picture_shows_what_is_in_its_cells():
    ring = np.zeros((8, 8))
    ring[2:6, 2:6] = 1
    scans = {digit: np.stack([ring * digit / 10] * 2) for digit in range(10)}
    cells: list = [None] * 9
    cells[1] = Thing("square", "blue", 240.0, radius=3.0)
    cells[5] = Thing("digit", "red", 0.0, digit=9)
    scene = Scene("?", ("yes",) * 10, tuple(cells), np.zeros(9, bool))
    images = render([scene] * 50, scans, np.random.default_rng(0))
    assert images.shape == (50, 24, 24, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(to_cells(images)[3, 5, 9], images[3, 9, 17])
    features = (encode_cells(images).mean(axis=0) + 1) / 2
    ink, colour = features[:, :64].reshape(9, 8, 8), features[:, 64:]
    np.testing.assert_allclose(colour[1], [0, 0, 1], atol=0.12)
    np.testing.assert_allclose(colour[5], [1, 0, 0], atol=0.12)
    assert ink[1, 2:6, 2:6].min() > 0.6 and ink[5, 2:6, 2:6].min() > 0.5
    assert ink[5, 0].max() < 0.25 and ink[0].max() < 0.25  # noise alone


def test_scans_of_the_splits_are_disjoint_and_those_of_digits():
    seen = {}
    for split, rank in {"train": 0, "validation": 3, "test": 4}.items():
        scans = builder.digit_scans(split)
        seen[split] = {scan.tobytes() for digit in scans.values() for scan in digit}
        pixels, labels = load_digits(return_X_y=True)
        zeros = pixels[labels == 0].reshape(-1, 8, 8) / 16
        np.testing.assert_array_equal(scans[0][0], zeros[rank])
    for a, b in itertools.combinations(seen.values(), 2):
        assert not a & b
    assert {s.scans for n, s in builder.SPLITS.items() if "test" in n} == {"test"}


def test_the_name_of_the_split_and_the_version_decide():
    def some(split, version):
        return list(itertools.islice(builder.generate(split, version), 30))

    first, again = some("test_same", "1.0.0"), some("test_same", "1.0.0")
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.scene.question == b.scene.question
    for other in some("test_uniform", "1.0.0"), some("test_same", "1.0.1"):
        assert any(
            not np.array_equal(a.image, b.image)
            for a, b in zip(first, other, strict=True)
        )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The whole set takes half a minute to draw; fewer examples are drawn alike."""
    with pytest.MonkeyPatch.context() as patch:
        small = {n: s._replace(size=300) for n, s in builder.SPLITS.items()}
        patch.setattr(builder, "SPLITS", small)
        source = ChangingPriorsVqa(str(tmp_path_factory.mktemp("tfds")))
        load(source, 0)
        yield source
    loading._read.cache_clear()


def test_arrays_are_what_was_drawn(source):
    data = load(source, 0)
    assert (data.answers, data.question_types) == (ANSWERS, TYPES)
    assert list(data.tests) == ["same", "reversed", "uniform"]
    assert data.facts["sizes"] == dict.fromkeys(
        ["train", "validation", *data.tests], 300
    )
    splits = {"train": data.train, "test_reversed": data.tests["reversed"]}
    for name, split in splits.items():
        inputs = split.inputs
        for i, example in enumerate(builder.generate(name, "1.0.0")):
            words = [data.vocabulary[t] for t in inputs.question[i] if t]
            assert words == example.scene.question.strip("?.").split()
            assert TYPES[inputs.question_type[i]] == example.question_type
            assert ANSWERS[split.label[i]] == example.answer
            np.testing.assert_array_equal(split.picture[i], example.image)
            np.testing.assert_array_equal(split.relevant[i], example.scene.relevant)
            for a, answer in enumerate(ANSWERS):
                votes = example.scene.answers.count(answer)
                score = (0, 0.3, 0.6, 0.9, 1)[min(votes, 4)]
                assert split.targets[i, a] == np.float32(score)
        np.testing.assert_array_equal(inputs.image, encode_cells(split.picture))
        assert inputs.image.shape == (300, 9, 67) and inputs.image.dtype == np.float32
        assert vqa_accuracy(split.label, split.targets) == 1


def test_priors_are_reversed_between_train_and_test(source):
    shares = load(source, 0).facts["answer_shares"]
    for kind in ("is_even", "is_colour", "same_colour"):
        first = QUESTION_TYPES[kind].answers[0]
        assert shares["train"][kind][first] > 0.65
        assert shares["same"][kind][first] > 0.65
        assert shares["reversed"][kind][first] < 0.35


def test_a_seed_draws_training_questions_and_nothing_else(source):
    whole = load(source, 0)
    half = dataclasses.replace(source, train_fraction=0.5)
    a, b, again = load(half, 0), load(half, 1), load(half, 0)
    assert len(a.train.label) == len(b.train.label) == 150
    np.testing.assert_array_equal(a.train.picture, again.train.picture)
    assert not np.array_equal(a.train.picture, b.train.picture)
    known = {picture.tobytes() for picture in whole.train.picture}
    drawn = {picture.tobytes() for picture in a.train.picture}
    assert drawn < known and len(drawn) == 150
    assert a.validation.label is b.validation.label
    with pytest.raises(ValueError, match="read-only"):
        whole.train.inputs.image[0] = 0
    with pytest.raises(ValueError, match=r"train_fraction: got 0, wanted a number in"):
        load(dataclasses.replace(source, train_fraction=0), 0)
    with pytest.raises(ValueError, match="seed: got -1"):
        load(source, -1)


def test_questions_as_tokens():
    known = vocabulary(["What's the Digit?", "the red, red one"])
    assert known == ("<pad>", "<unknown>", "digit", "one", "red", "the", "what's")
    tokens = encode(["the red zebra", ""], known, 4)
    np.testing.assert_array_equal(tokens, [[5, 4, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(encode(["one red digit"], known, 2), [[3, 4]])

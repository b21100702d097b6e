"""Twelve questions about four images, in the formats of VQA v2 and VQA-CP v2."""

import json

import numpy as np
import pytest

from train.data.vqa.answers import answer_vocabulary, normalise
from train.data.vqa.boxes import BoxArray, BoxFolder, BoxHdf5
from train.data.vqa.scores import annotator_scores, answer_priors
from train.data.vqa_v2 import Recipe, read_vqa

# image, question, type, what ten people said (the first is the most frequent)
ASKED = [
    (9, "What color is the cat?", "what color", {"black": 6, "Black.": 2, "grey": 2}),
    (9, "Is this a cat?", "is this", {"yes": 10}),
    (7, "Is this a dog?", "is this", {"no": 7, "yes": 3}),
    (7, "What color is the dog?", "what color", {"brown": 9, "black": 1}),
    (4, "Is this a man?", "is this", {"yes": 9, "Yes": 1}),
    (4, "What color is it?", "what color", {"black": 10}),
    (4, "Is this one of the best cats in the whole wide world, dear reader of mine?",
     "is this", {"yes": 8, "no": 2}),
    (2, "Is this Tom's?", "is this", {"no": 10}),
    (2, "What color is Tom's hat?", "what color", {"black": 5, "brown": 5}),
    (2, "What color is the sky?", "what color", {"mauve": 10}),
    (2, "Is this fun?", "is this", {"yes": 4, "no": 3, "maybe": 3}),
    (7, "Is this it?", "is this", {"no": 10}),
]  # fmt: skip
COUNTS = {9: 36, 7: 36, 4: 36, 2: 10}  # boxes per image
ANSWERS = ("yes", "black", "no")  # 4, 3 and 3 times; brown and mauve once each
RECIPE = Recipe(minimum_answers=3)


def features(image: int) -> np.ndarray:
    return np.random.default_rng(image).random((COUNTS[image], 2048), np.float32)


def write(folder, asked=ASKED, cp=False):
    questions, annotations = [], []
    for i, (image, question, kind, said) in enumerate(asked):
        ids = {"question_id": 100 + i, "image_id": image}
        questions.append({**ids, "question": question})
        people = [answer for answer, n in said.items() for _ in range(n)]
        answers = [
            {"answer": a, "answer_confidence": "yes", "answer_id": j + 1}
            for j, a in enumerate(people)
        ]
        rest = {"answer_type": "other", "multiple_choice_answer": people[0]}
        annotations.append({**ids, **rest, "question_type": kind, "answers": answers})
    annotations.reverse()  # joined by id, not by order
    paths = folder / "questions.json", folder / "annotations.json"
    wrap = (lambda _, x: x) if cp else (lambda name, x: {"info": {}, name: x})
    paths[0].write_text(json.dumps(wrap("questions", questions)))
    paths[1].write_text(json.dumps(wrap("annotations", annotations)))
    return paths


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    for image in COUNTS:
        np.save(folder / f"{image}.npy", features(image))
    return BoxFolder(folder)


@pytest.fixture(scope="module")
def split(tmp_path_factory, boxes):
    return read_vqa(*write(tmp_path_factory.mktemp("v2")), boxes, recipe=RECIPE)


def test_scores_by_hand():
    # Leave one out, n = 2: two of ten leave 1 match (1/3), eight leave 2 (2/3).
    expected = [0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1]
    for rule in ("leave_one_out", "table"):
        scores = annotator_scores(range(11), rule=rule)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
    plain = annotator_scores(range(5), rule="plain")
    np.testing.assert_allclose(plain, [0, 1 / 3, 2 / 3, 1, 1], rtol=1e-6)
    # Three people, all alike: each is scored against two, so 2/3.
    np.testing.assert_allclose(annotator_scores([3], people=3), [2 / 3], rtol=1e-6)
    with pytest.raises(ValueError, match="got 3, wanted 10 for the table"):
        annotator_scores([3], people=3, rule="table")
    with pytest.raises(ValueError, match="counts: got 0 to 11 of 10 people"):
        annotator_scores([0, 11])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("  Yes. ", "yes"),
        ("The two Cats", "2 cats"),
        ("none", "0"),
        ("dont know", "don't know"),
        ("blue/green", "blue green"),
        ("1,000", "1000"),
        ("5.", "5"),
        ("0.5", "0.5"),
        (".5", ".5"),
        ("10:30", "10:30"),
        ("t-shirt", "t shirt"),
        ("well its wed", "well its wed"),
        ("a", ""),
    ],
)
def test_answers_are_normalised(written, expected):
    assert normalise(written) == expected
    assert normalise(expected) == expected


def test_answers_come_by_frequency_and_a_minimum():
    answers = ["b", "b", "c", "c", "Two", "2", "2", "rare", "a"]
    assert answer_vocabulary(answers, minimum=2) == ("2", "b", "c")
    with pytest.raises(ValueError, match=r"no answer occurs 9 times .*'2', 3"):
        answer_vocabulary(answers)


def test_questions_and_answers_as_arrays(split):
    assert len(split) == 12
    assert split.known.answers == ANSWERS
    assert split.known.question_types == ("is this", "what color")
    assert split.question_id.tolist() == list(range(100, 112))
    assert split.image_id.tolist() == [row[0] for row in ASKED]
    words = split.known.words
    assert words[:2] == ("<pad>", "<unknown>") and "tom's" in words
    spoken = [words[t] for t in split.question[0]]
    assert spoken == ["what", "color", "is", "the", "cat"] + ["<pad>"] * 9
    long = [words[t] for t in split.question[6]]
    assert long[-2:] == ["dear", "reader"]  # 14 of 17 words
    # yes, black, no by the rule 0, .3, .6, .9, 1
    targets = np.stack([split.example(i).targets for i in range(12)])
    expected = [
        [0, 1, 0], [1, 0, 0], [0.9, 0, 1], [0, 0.3, 0], [1, 0, 0], [0, 1, 0],
        [1, 0, 0.6], [0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0.9], [0, 0, 1],
    ]  # fmt: skip
    np.testing.assert_allclose(targets, expected, rtol=1e-6)
    labels = [int(split.example(i).label) for i in range(12)]
    assert labels == [1, 0, 2, 1, 0, 1, 0, 2, 1, -1, 0, 2]


def test_the_plain_lists_of_vqa_cp_read_the_same(split, boxes, tmp_path):
    cp = read_vqa(*write(tmp_path, cp=True), boxes, recipe=RECIPE)
    assert cp.known == split.known
    np.testing.assert_array_equal(cp.question, split.question)
    for i in range(12):
        np.testing.assert_array_equal(cp.example(i).targets, split.example(i).targets)


def test_a_test_split_is_read_with_the_words_of_train(split, boxes, tmp_path):
    asked = [(9, "Is this a zebra?", "is this", {"zebra": 8, "no": 2})]
    test = read_vqa(*write(tmp_path, asked), boxes, recipe=RECIPE, known=split.known)
    words = split.known.words
    assert [words[t] for t in test.question[0][:4]] == ["is", "this", "a", "<unknown>"]
    np.testing.assert_allclose(test.example(0).targets, [0, 0, 0.6], rtol=1e-6)
    other = write(tmp_path, [(9, "Why?", "why", {"no": 10})])
    with pytest.raises(ValueError, match="question 100 has the type 'why', which no"):
        read_vqa(*other, boxes, recipe=RECIPE, known=split.known)


def test_priors_per_question_type(split):
    # Five of "what color", scores of black 1 + .3 + 1 + 1 + 0, and 0.5 / 3 more.
    priors = split.answer_priors(smoothing=0.5)
    np.testing.assert_allclose(priors[1, 1], (3.3 + 0.5 / 3) / 5.5, rtol=1e-6)
    targets = np.stack([split.example(i).targets for i in range(12)])
    dense = answer_priors(split.question_type, targets, 2, smoothing=0.5)
    np.testing.assert_allclose(priors, dense, rtol=1e-6)
    assert np.all((dense > 0) & (dense < 1))
    nobody = answer_priors(split.question_type, targets, 3)[2]
    np.testing.assert_allclose(nobody, 1 / 3, rtol=1e-6)


def test_features_in_one_array_are_mapped_and_equal_those_in_files(split, tmp_path):
    ids = [4, 9, 7]
    stacked = np.stack([features(image) for image in ids])
    np.save(tmp_path / "boxes.npy", stacked)
    np.save(tmp_path / "ids.npy", np.array(ids))
    array = BoxArray(tmp_path / "boxes.npy", tmp_path / "ids.npy")
    assert isinstance(array._features, np.memmap)
    assert 9 in array and 2 not in array
    np.testing.assert_array_equal(array[7], features(7))
    np.save(tmp_path / "ids.npy", np.array([4, 9]))
    with pytest.raises(ValueError, match=r"shape \[3, 36, 2048\] and.* shape \[2\]"):
        BoxArray(tmp_path / "boxes.npy", tmp_path / "ids.npy")
    np.save(tmp_path / "ids.npy", np.array([4, 9, 4]))
    with pytest.raises(ValueError, match=r"ids\.npy: some image ids come twice"):
        BoxArray(tmp_path / "boxes.npy", tmp_path / "ids.npy")


def test_hdf5(tmp_path, monkeypatch):
    path = tmp_path / "boxes.hdf5"
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r"boxes\.hdf5.*pip install h5py"):
        BoxHdf5(path)
    monkeypatch.undo()
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["image_features"] = np.stack([features(9), features(7)])
        file["image_ids"] = np.array([9, 7])
    boxes = BoxHdf5(path)
    assert 7 in boxes and 4 not in boxes
    np.testing.assert_array_equal(boxes[7], features(7))
    with pytest.raises(ValueError, match=r"no data set 'x', found \['image_f"):
        BoxHdf5(path, features="x")


def test_batches_hold_the_boxes_of_their_questions(split):
    batches = list(split.batches(5, seed=None, epochs=1, threads=2))
    assert [len(batch.index) for batch in batches] == [5, 5, 2]
    index = np.concatenate([batch.index for batch in batches])
    assert index.tolist() == list(range(12))
    for batch in batches:
        inputs = batch.inputs
        assert inputs.image.dtype == np.float32 and inputs.question.dtype == np.int32
        for row, i in enumerate(batch.index):
            image = ASKED[i][0]
            n = COUNTS[image]
            np.testing.assert_array_equal(inputs.image[row, :n], features(image))
            assert not inputs.image[row, n:].any()
            np.testing.assert_array_equal(inputs.present[row], np.arange(36) < n)
            np.testing.assert_array_equal(inputs.question[row], split.question[i])
            np.testing.assert_array_equal(batch.targets[row], split.example(i).targets)
            assert inputs.question_type[row] == split.question_type[i]


def test_every_epoch_has_every_question_in_another_order(split):
    batches = split.batches(4, seed=3, epochs=2, threads=0)
    seen = np.concatenate([batch.index for batch in batches])
    first, second = seen[:12], seen[12:]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("threads", [0, 4])
def test_a_resumed_stream_goes_on_exactly(split, threads):
    stream = split.batches(5, seed=1, threads=threads)
    for _ in range(3):
        next(stream)
    state = json.loads(json.dumps(stream.get_state()))
    rest = [next(stream) for _ in range(4)]
    resumed = split.batches(5, seed=1, threads=threads)
    resumed.set_state(state)
    for expected in rest:
        found = next(resumed)
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.inputs.image, expected.inputs.image)


def edit(path, change):
    content = json.loads(path.read_text())
    change(next(v for v in content.values() if isinstance(v, list)))
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (1, lambda a: a.pop(0), r"questions\[11\]: question_id 111 has no entry in .*"
         r"annotations\.json; do both files"),
        (0, lambda q: q[2].pop("image_id"), r"questions\[2\]: no field 'image_id', "
         r"found \['question', 'question_id'\]"),
        (0, lambda q: q[2].update(image_id="7"), r"questions\[2\]: image_id is '7', "
         "wanted int"),
        (0, lambda q: q.append(q[0]), r"questions\[12\]: question_id 100 comes"),
        (1, lambda a: a.append(a[0]), r"annotations\[12\]: question_id 111 has an ann"),
        (1, lambda a: a[3].update(answers=[]), r"annotations\[3\]: question_id 108 has"),
        (1, lambda a: a[3].pop("answers"), r"annotations\[3\]: no field 'answers'"),
        (1, lambda a: a[3]["answers"][4].pop("answer"), r"\[3\]\.answers\[4\]: no f"),
        (0, lambda q: q[2].update(image_id=8), r"no features of image 8, which "
         r"question 102 of .*questions\.json is about \(1 images have none"),
        (0, lambda q: q.clear(), r"questions\.json: holds no questions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(boxes, tmp_path, file, change, message):
    paths = write(tmp_path)
    edit(paths[file], change)
    with pytest.raises(ValueError, match=message):
        read_vqa(*paths, boxes, recipe=RECIPE)


def test_files_of_another_form(boxes, tmp_path):
    paths = write(tmp_path)
    text = paths[0].read_text()
    paths[0].write_text(text[:-20])
    with pytest.raises(ValueError, match=r"questions\.json: not JSON"):
        read_vqa(*paths, boxes)
    paths[0].write_text('{"annotations": []}')
    with pytest.raises(ValueError, match=r"questions\.json: wanted a list \(VQA"):
        read_vqa(*paths, boxes)
    with pytest.raises(ValueError, match="no file named <image_id>.npy"):
        BoxFolder(tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((36, 7), np.float32), r"image 9 has .*\(36, 7\), wanted \[boxes, 20"),
        (np.zeros((37, 2048), np.float32), r"\(37, 2048\), wanted .* 1 to 36 boxes"),
        (np.zeros((0, 2048), np.float32), r"\(0, 2048\)"),
        (np.full((2, 2048), np.nan, np.float32), "9 has features that are not fin"),
    ],
)  # fmt: skip
def test_boxes_of_another_shape(tmp_path, array, message):
    np.save(tmp_path / "9.npy", array)
    asked = [(9, "Is it?", "is it", {"yes": 10})]
    split = read_vqa(
        *write(tmp_path, asked), BoxFolder(tmp_path), recipe=Recipe(minimum_answers=1)
    )
    with pytest.raises(ValueError, match=message):
        split.example(0)

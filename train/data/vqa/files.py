"""The JSON files of VQA v2 and VQA-CP v2: what was asked, and what people answered.

VQA v2 wraps its lists, {"questions": [...]} and {"annotations": [...]}; VQA-CP v2 has
the same entries in plain lists.

Source: Goyal et al., CVPR 2017, arXiv:1612.00837, format at visualqa.org/download;
    Agrawal et al., CVPR 2018, arXiv:1712.00377.
"""

import json
import os
from typing import Any, NamedTuple

Path = str | os.PathLike[str]


class Asked(NamedTuple):
    question_id: int
    image_id: int
    question: str
    question_type: str
    answer: str  # the one that most people gave
    answers: tuple[str, ...]  # of every person, ten as a rule


def read_files(questions: Path, annotations: Path) -> list[Asked]:
    """Every question with its annotation, in the order of the questions file.

    Raises:
        ValueError: naming the file and the entry, when a file is not JSON of this form,
            a field is missing, an id comes twice, or a question has no annotation.
        FileNotFoundError: when there is no such file.
    """
    annotated = {}
    for where, entry in _entries(annotations, "annotations"):
        key = _field(entry, "question_id", int, where)
        if key in annotated:
            raise ValueError(f"{where}: question_id {key} has an annotation already")
        annotated[key] = where, entry
    asked, seen = [], set()
    for where, entry in _entries(questions, "questions"):
        key = _field(entry, "question_id", int, where)
        if key in seen:
            raise ValueError(f"{where}: question_id {key} comes a second time")
        seen.add(key)
        if key not in annotated:
            raise ValueError(
                f"{where}: question_id {key} has no entry in {os.fspath(annotations)}; "
                "do both files belong to the same split?"
            )
        image = _field(entry, "image_id", int, where)
        question = _field(entry, "question", str, where)
        asked.append(_join(key, image, question, *annotated[key]))
    if not asked:
        raise ValueError(f"{os.fspath(questions)}: holds no questions")
    return asked


def _join(key: int, image: int, question: str, where: str, entry: Any) -> Asked:
    people = _field(entry, "answers", list, where)
    if len(people) < 2:
        raise ValueError(
            f"{where}: question_id {key} has {len(people)} answers, wanted those of "
            "ten people (at least two)"
        )
    answers = tuple(
        _field(person, "answer", str, f"{where}.answers[{i}]")
        for i, person in enumerate(people)
    )
    kind = _field(entry, "question_type", str, where)
    most = _field(entry, "multiple_choice_answer", str, where)
    return Asked(key, image, question, kind, most, answers)


def _entries(path: Path, name: str) -> list[tuple[str, Any]]:
    """The entries of a file, each with the words that say where it is."""
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"{os.fspath(path)}: not JSON ({error})") from error
    if isinstance(content, dict):
        content = content.get(name)
    if not isinstance(content, list):
        raise ValueError(
            f'{os.fspath(path)}: wanted a list (VQA-CP) or {{"{name}": [...]}} (VQA v2)'
        )
    return [(f"{os.fspath(path)}: {name}[{i}]", e) for i, e in enumerate(content)]


def _field(entry: Any, name: str, kind: type, where: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"{where}: no field {name!r}, found {found}")
    value = entry[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{where}: {name} is {value!r}, wanted {kind.__name__}")
    return value

"""Answers in a form that can be compared: the rules of the official VQA evaluation.

Lower case; punctuation goes, or becomes a space where it joins two words; number words
up to ten become digits; articles go; contractions get their apostrophe back.

Source: the description at visualqa.org/evaluation. The official script cleans the
people's answers only where they differ; here all are, so that "Yes." is "yes" always.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

NUMBERS: dict[str, str] = dict(
    zip(
        "none zero one two three four five six seven eight nine ten".split(),
        "0 0 1 2 3 4 5 6 7 8 9 10".split(),
        strict=True,
    )
)
ARTICLES = frozenset({"a", "an", "the"})

# Written without the apostrophe by people in a hurry. Words that are something else
# without it (its, were, well, ill, shell, hell, wed, id, shed) are left alone.
CONTRACTIONS: dict[str, str] = {
    written.replace("'", ""): written
    for written in (
        "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't "
        "hasn't haven't he'd've how'd how'll how's i'd've i'm i've isn't it'd it'll "
        "ma'am mightn't might've mustn't must've needn't o'clock shan't she'd've "
        "should've shouldn't shouldn't've somebody's someone's something's that'd "
        "that'll that's there'd there're there's they'd they'll they're they've wasn't "
        "we've weren't what'll what're what's what've when's where'd where's where've "
        "who'd who'll who's who've why'll why's won't would've wouldn't wouldn't've "
        "y'all you'd you'll you're you've"
    ).split()
}

_PUNCTUATION = re.compile(r"""[;/\[\]"{}()=+\\_\-<>@`?!,]""")
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)")
_PERIOD = re.compile(r"\.(?!\d)")


def normalise(answer: str) -> str:
    """The form in which answers are compared; may be empty.

    "blue/green" is "blue green", "1,000" is "1000", "5." is "5"; the period of .5 and
    the colon of 10:30 stay. The official script also joins the words around a mark when
    the same mark stands next to a space elsewhere in the answer; here they stay apart.
    """
    text = " ".join(answer.lower().split())
    text = _COMMA_IN_NUMBER.sub("", text)
    text = _PERIOD.sub("", text)
    text = _PUNCTUATION.sub(" ", text)
    words = (NUMBERS.get(word, word) for word in text.split())
    return " ".join(CONTRACTIONS.get(w, w) for w in words if w not in ARTICLES)


def answer_vocabulary(answers: Iterable[str], *, minimum: int = 9) -> tuple[str, ...]:
    """Normalised answers that occur at least `minimum` times, most frequent first.

    Args:
        answers: the most frequent answer of each training question.
        minimum: occurrences; the papers' is 9.
    Returns:
        Answers; ties in alphabetical order.
    Raises:
        ValueError: when no answer is frequent enough.
    """
    counts = Counter(filter(None, map(normalise, answers)))
    kept = [answer for answer, count in counts.items() if count >= minimum]
    if not kept:
        most = counts.most_common(1)
        raise ValueError(
            f"no answer occurs {minimum} times (most frequent: {most}); "
            "lower `minimum_answers`"
        )
    return tuple(sorted(kept, key=lambda answer: (-counts[answer], answer)))


def count_known(answers: Iterable[str], ids: Mapping[str, int]) -> dict[int, int]:
    """How many people gave each answer of the vocabulary, by answer id."""
    counts = Counter(map(normalise, answers))
    return {ids[answer]: n for answer, n in counts.items() if answer in ids}

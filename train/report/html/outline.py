"""The sections of the page, and for each chart the words below it."""

from typing import NamedTuple


class Chart(NamedTuple):
    """A figure; `needs` is what a run must have to be in it, see `payload`."""

    key: str
    title: str
    reading: str
    needs: str
    height: int = 380


class Section(NamedTuple):
    key: str
    title: str
    charts: tuple[Chart, ...]


SECTIONS = (
    Section(
        "accuracy",
        "Accuracy",
        (
            Chart(
                "scores",
                "Where the errors are",
                "A point is the mean of a method, the line its 95 % interval. With "
                "several seeds it is a t-interval over them: how another training "
                "would come out. With one seed it is Wilson’s over the test "
                "examples: how other examples would come out, not another training. "
                "Many, medium and few are mean accuracies of the classes with many "
                "and with few training examples.",
                "scores",
            ),
            Chart(
                "class_accuracy",
                "Accuracy of each class",
                "Classes from the most frequent on the left to the rarest on the "
                "right. A line that falls to the right is a model that gives up on "
                "the tail.",
                "measured",
            ),
        ),
    ),
    Section(
        "training",
        "Training",
        (
            Chart(
                "curves",
                "Over the epochs",
                "One line per run, one colour per method. Losses of different methods "
                "are different quantities: compare their shape, and the −log "
                "likelihood for the height.",
                "curves",
            ),
        ),
    ),
    Section(
        "classes",
        "Gradients of the classes",
        (
            Chart(
                "gradients",
                "What each logit is told",
                "Positive is the gradient that the examples of a class put on its own "
                "logit, received what all others put on it, caused what its examples "
                "put on other logits. The ratio is positive over received: below 1 "
                "(dotted) a class is pushed down harder than its examples pull it "
                "up, and starves, most of all in the first epochs: move the slider. "
                "Frequent classes are on the left.",
                "gradients",
                420,
            ),
            Chart(
                "evenness",
                "How uneven, over the epochs",
                "Unevenness is the standard deviation over the classes divided by the "
                "mean: 0 when every class receives the same negative gradient. The "
                "spread of ratios is the 90th percentile over the 10th: 1 when all "
                "are equal. The correlation is that of the norm of the "
                "class vector with the log prior: 0 when it has nothing to do with how "
                "frequent the class is.",
                "evenness",
            ),
            Chart(
                "matrix",
                "Who pushes whom",
                "The row is the class of the example, the column the logit that its "
                "gradient is on, summed over the training; the scale is logarithmic. "
                "The diagonal is the pull on the own logit. Strong cells beside it "
                "are confusions; a strong column is a class that many push down.",
                "matrix",
                620,
            ),
        ),
    ),
    Section(
        "vectors",
        "Class vectors",
        (
            Chart(
                "vectors",
                "The head and the prior",
                "A point is a class. Without balance the vectors of frequent classes "
                "grow longer, and the points lie on a rising line; r is the "
                "correlation. Alignment is the cosine between the vector of a class "
                "and the mean feature of its examples: 1 when they point the same "
                "way.",
                "vectors",
                420,
            ),
        ),
    ),
    Section(
        "examples",
        "Gradients of the examples",
        (
            Chart(
                "histograms",
                "Log-odds of the labels",
                "Training examples as they were seen in an epoch. To the right of 0 "
                "the label has more than half of the probability. Each group is drawn "
                "as a share of itself; the bins at both ends also hold what lies "
                "outside. Wrong labels on the right have been learnt by heart.",
                "histograms",
            ),
            Chart(
                "shares",
                "Who the gradient comes from",
                "The share of a group in the sum of the gradient norms of the "
                "examples. The dotted line is its share of the examples: above it, "
                "the group pulls more than its size.",
                "shares",
            ),
            Chart(
                "agreement",
                "Do the groups agree?",
                "Cosine between the mean gradients that two groups of classes put on "
                "the head: 1 when a step for one helps the other, below 0 when it "
                "undoes it.",
                "agreement",
            ),
        ),
    ),
    Section(
        "calibration",
        "Calibration",
        (
            Chart(
                "calibration",
                "Is it right as often as it says?",
                "Predictions by their confidence. On the dotted diagonal a model is "
                "right as often as it says; below it is too sure, above it too "
                "unsure. The bars count the examples: points over short bars mean "
                "little.",
                "calibration",
                520,
            ),
        ),
    ),
)

"""Visual question answering; `load` is the way in."""

from train.data.vqa.arrays import Inputs, VqaDataset, VqaSplit
from train.data.vqa.load import ChangingPriorsVqa, load, pick
from train.data.vqa.scores import annotator_scores, answer_priors, vqa_accuracy

__all__ = [
    "ChangingPriorsVqa",
    "Inputs",
    "VqaDataset",
    "VqaSplit",
    "annotator_scores",
    "answer_priors",
    "load",
    "pick",
    "vqa_accuracy",
]

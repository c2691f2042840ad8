"""Precision-recall curves of three classes that get better: python pr_curves.py LOGDIR."""

import sys

import numpy as np
from tensorboardX import SummaryWriter

CLASSES = ("red", "green", "blue")
THRESHOLDS = 50


def guesses(truth: np.ndarray, skill: float, generator: np.random.Generator) -> np.ndarray:
    """Probabilities in 0..1; right ones more often, the more skill there is."""
    return (1 - skill) * generator.random(len(truth)) + skill * truth


def count(truth: np.ndarray, probability: np.ndarray) -> list[np.ndarray]:
    """True and false positives, true and false negatives, precision and recall at each threshold."""
    thresholds = np.linspace(0, 1, THRESHOLDS)
    said = probability >= thresholds[:, None]
    true_positive, false_positive = (said & (truth == 1)).sum(1), (said & (truth == 0)).sum(1)
    true_negative, false_negative = (~said & (truth == 0)).sum(1), (~said & (truth == 1)).sum(1)
    precision = true_positive / np.maximum(true_positive + false_positive, 1)
    recall = true_positive / np.maximum(true_positive + false_negative, 1)
    return [true_positive, false_positive, true_negative, false_negative, precision, recall]


def main() -> None:
    generator = np.random.default_rng(0)
    writer = SummaryWriter(sys.argv[1])
    for step in range(10):
        for index, name in enumerate(CLASSES):
            truth = generator.integers(0, 2, 300)
            probability = guesses(truth, skill=0.05 * step + 0.1 * index, generator=generator)
            writer.add_pr_curve(f"class/{name}", truth, probability, step)
            writer.add_pr_curve_raw(f"counted/{name}", *count(truth, probability), step, num_thresholds=THRESHOLDS)
        weights = np.where(truth == 1, 2.0, 0.5)
        writer.add_pr_curve("weighted/blue", truth, probability, step, num_thresholds=64, weights=weights)
    writer.close()


if __name__ == "__main__":
    main()

"""Prints the table by class of the demo model and of a simple classifier on the same fresh windows (docs/training.md).

    python tools/demo_baseline.py

Both are trained on the recordings of the demo's recipe and tested on its unseen ones. Needs scikit-learn.
"""

from __future__ import annotations

import argparse

import numpy as np
from activity_baselines import windows
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from aether_temporal import TemporalModel
from aether_temporal.bundled import model_path
from aether_temporal.simulation import ACTIVITIES
from aether_temporal.train.demo_recipe import LABEL_DELAY, TEST_SEED, WINDOW, Recipe, simulated_executions
from aether_temporal.train.evaluation import balanced, precisions, recalls, score


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="A model of the demo's recipe.")
    parser.add_argument("--first", type=int, default=TEST_SEED, help="Seed of the first recording to test on.")
    arguments = parser.parse_args()
    recipe = Recipe()
    unseen = simulated_executions(arguments.first, recipe.test_recordings)
    model = TemporalModel.from_blob(model_path(arguments.model))
    found = score(model, unseen, label_delay=LABEL_DELAY, window=WINDOW, context=model.default_context).fresh_windows

    x, y = windows(simulated_executions(0, recipe.recordings), "window", WINDOW // 2, WINDOW)
    trees = ExtraTreesClassifier(300, min_samples_leaf=2, class_weight="balanced", random_state=0).fit(x, y)
    tested, expected = windows(unseen, "window", WINDOW, WINDOW)
    simple = np.zeros_like(found)
    np.add.at(simple, (expected, trees.predict(tested)), 1)

    print("| class | windows | always the commonest: recall | extra trees: recall | model: recall | model: precision |")
    print("|---|---|---|---|---|---|")
    support = found.sum(axis=1)
    commonest = (np.arange(len(support)) == support.argmax()).astype(float)
    columns: list[NDArray[np.float64]] = [commonest, recalls(simple), recalls(found), precisions(found)]
    for index, name in enumerate(ACTIVITIES):
        print(f"| {name} | {support[index]} | " + " | ".join(f"{column[index]:.3f}" for column in columns) + " |")
    means = [f"{1 / len(support):.3f}", f"{balanced(simple):.3f}", f"{balanced(found):.3f}", ""]
    print(f"| mean of classes | {support.sum()} | " + " | ".join(means) + " |")
    total = int(support.sum())
    shares = [f"{count / total:.3f}" for count in (support.max(), np.trace(simple), np.trace(found))]
    print(f"| share of all windows | {total} | " + " | ".join(shares) + " | |")


if __name__ == "__main__":
    main()

"""What re-identification found, as text and as JSON: every method beside the others, with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .reid import Report
from .retrieval import Interval, Matches, compare, evaluate, figures
from .statistics import Mean, mean_of

METHODS = {"model": "model", "start": "before contrast", "LDA": "LDA", "cosine": "cosine"}
TITLES = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "map": "mAP",
    "auc": "AUC",
    "enrolled_rank1": "rank-1 of enrolled means",
}
SHOWN = ("rank1", "rank5", "map", "auc", "enrolled_rank1")
DRAWS = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Summary:
    """One part over all reports. rows: figures of each method; gains: the model less each baseline; seeds: rank-1 of
    the model, the mean over seeds with Student's interval; lda_decisions: LDA as a classifier, its mean."""

    name: str
    persons: int
    probes: int
    rows: dict[str, dict[str, Interval]]
    gains: dict[str, dict[str, Interval]]
    seeds: Mean
    lda_decisions: float | None

    def lines(self) -> list[str]:
        """As text."""
        where = f"{self.persons} persons" + (f", {self.seeds.count} seeds" if self.seeds.count > 1 else "")
        head = f"{self.name} ({where}, {self.probes} probe windows)"
        found = [head, " " * 26 + "".join(f"{TITLES[name]:<25}" for name in SHOWN)]
        rows = [(METHODS[method], row) for method, row in self.rows.items()]
        rows += [(f"model - {METHODS[method]}", row) for method, row in self.gains.items()]
        found += [f"  {title:<24}" + "".join(f"{row[name]!s:<25}" for name in SHOWN) for title, row in rows]
        if self.lda_decisions is not None:
            found.append(f"  LDA as a classifier of the persons it was fitted on: {self.lda_decisions:.3f}")
        if self.seeds.count > 1:
            found.append(f"  rank-1 of the model over seeds: {self.seeds}")
        return [line.rstrip() for line in found]

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return dataclasses.asdict(self)


def summarise(reports: Sequence[Report]) -> list[Summary]:
    """Each part that all reports have: means over the reports (one a seed), intervals over persons."""
    found = []
    for name in reports[0].matches:
        by_method: Mapping[str, list[Matches]] = {
            method: [report.matches[name][method] for report in reports] for method in METHODS
        }
        model = by_method["model"]
        decided = [report.lda_decisions for report in reports if report.lda_decisions is not None]
        persons = len({person for matches in model for person in matches.persons})
        found.append(
            Summary(
                name,
                persons,
                sum(len(matches.truth) for matches in model),
                {method: evaluate(matches, draws=DRAWS) for method, matches in by_method.items()},
                {
                    method: compare(model, matches, draws=DRAWS)
                    for method, matches in by_method.items()
                    if method != "model"
                },
                mean_of([float(figures(matches)["rank1"].mean()) for matches in model]),
                sum(decided) / len(decided) if name == "trained persons" and decided else None,
            )
        )
    return found

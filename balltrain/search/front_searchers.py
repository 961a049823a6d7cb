"""Searchers for several objectives: Optuna's, told the values of each trial at its best epoch.

An infeasible or failed trial counts as the worst that was seen in every objective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from balltrain.records.state import Point
from balltrain.search.optuna_samplers import OptunaSearcher, OptunaTpe
from balltrain.search.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

TPE, NSGA2 = "optuna-tpe", "optuna-nsga2"


class _ToldValues(OptunaSearcher):
    """As its base, with values of several objectives in place of one, of which the less is the better."""

    def __init__(self, space: Space, num_objectives: int, seed: int):
        super().__init__(space, "min", seed)
        self.num_objectives = num_objectives
        self._values: dict[int, tuple[float, ...] | None] = {}

    def tell(self, number: int, objective: Any) -> None:
        self._ended[number] = None if objective is None else objective[0]
        self._values[number] = objective

    def _known(self) -> list[tuple[Point, list[float]]]:
        finite = [values for values in self._values.values() if values is not None]
        if not finite:
            return []
        worst = [max(column) for column in zip(*finite, strict=True)]
        return [(self._points[number], list(values or worst)) for number, values in self._values.items()]


class FrontTpe(_ToldValues, OptunaTpe):
    """Multi-objective TPE (Ozaki et al., JAIR 2022), multivariate."""


class FrontNsga2(_ToldValues):
    """NSGA-II (Deb et al., IEEE TEVC 2002). The trials that ended are its generations, in that order."""

    name, num_random = NSGA2, 50
    population: ClassVar[int] = 50  # Optuna's own

    def sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import NSGAIISampler
        from optuna.trial import FrozenTrial, TrialState

        size = self.population

        def ended(study: Any) -> list[FrozenTrial]:
            found: list[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            return found

        class ByOrder(NSGAIISampler):
            """Optuna notes each trial's generation as it proposes it; here the study is made anew each time."""

            def get_trial_generation(self, study: Any, trial: Any) -> int:
                return len(ended(study)) // size

            def get_population(self, study: Any, generation: int) -> list[FrozenTrial]:
                return ended(study)[generation * size : (generation + 1) * size]

        return ByOrder(population_size=size, seed=seed)


FRONT_SEARCHERS: dict[str, type[FrontTpe] | type[FrontNsga2]] = {TPE: FrontTpe, NSGA2: FrontNsga2}

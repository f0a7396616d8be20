"""Which stages of a point are, or need, another one than at every point before."""

from collections.abc import Mapping

from dllm_run.specs.inventory import Inventories
from dllm_run.specs.vocabulary.stages import Stage


class Versions:
    """Numbers every stage by its identity and the numbers of those it needs; what was numbered stays alive."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[int, ...]], tuple[Stage, int]] = {}

    def new_in(self, stages: Mapping[str, Stage], inventories: Inventories) -> set[str]:
        """The names of stages that were not there before, or that need one that was not. Their references hold."""
        numbers: dict[str, int] = {}
        new: set[str] = set()
        for name in stages:
            # With a stack of its own: a long chain of stages costs no recursion.
            todo = [name]
            while todo:
                stage = stages[todo[-1]]
                needs = [edge.reference.stage for edge in inventories.of(stage).edges]
                waiting = [need for need in needs if need not in numbers]
                if waiting:
                    todo.extend(reversed(waiting))
                    continue
                found = todo.pop()
                key = (id(stage), tuple(numbers[need] for need in needs))
                if key not in self._known:
                    self._known[key] = (stage, len(self._known))
                    new.add(found)
                numbers[found] = self._known[key][1]
        return new

"""Which steps of a run count: those that nobody else disturbed, each batch once."""

from dataclasses import dataclass, field

LIMIT = 0.05  # cores: where others took more during a step, it does not count
ENOUGH = 0.75  # of the steps that were asked for; with fewer there is no number
ATTEMPTS = 3  # runs until each step was taken undisturbed


class Disturbed(Exception):
    """Others used the cores in each attempt."""


def disturbed(step: dict) -> bool:
    return step["others"] > LIMIT


@dataclass
class Count:
    """Of runs of the same steps, `warm` first ones that do not count and `n` that do. A step is taken from the first run in which
    others let it be, and nothing was compiled in it."""

    warm: int
    n: int
    kept: dict = field(default_factory=dict)
    left_out: int = 0
    runs: int = 0

    def add(self, steps: list[dict]):
        self.runs += 1
        for i, step in enumerate(steps[self.warm : self.warm + self.n]):
            if disturbed(step):
                self.left_out += 1
            elif not step.get("compiled"):
                self.kept.setdefault(i, step)

    @property
    def whole(self) -> bool:
        return len(self.kept) == self.n

    @property
    def enough(self) -> bool:
        return len(self.kept) >= ENOUGH * self.n

    @property
    def steps(self) -> list[dict]:
        return [self.kept[i] for i in sorted(self.kept)]


def repeated(count: Count, attempt):
    """Calls attempt(), which returns a run, until all its steps count, or often enough. Returns the last run."""
    while True:
        run = attempt()
        if run.error:
            return run
        count.add(run.steps)
        if count.whole or count.runs == ATTEMPTS:
            return run

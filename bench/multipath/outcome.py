"""What a case hands back, and how that is printed."""

import statistics
from dataclasses import asdict, dataclass, field


@dataclass
class Line:
    """One program in a case: its values over the rounds, and how they compare."""
    what: str
    unit: str
    values: list[float]
    ratio: float | None = None  # to the case's reference

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Outcome:
    lines: list[Line] = field(default_factory=list)
    target: str = ""
    passed: bool | None = None  # None: nothing to judge, weft was not there
    notes: list[str] = field(default_factory=list)
    broken: bool = False  # something happened that no noise excuses: a wrong byte, an error that was not due

    def add(self, what: str, unit: str, values: list[float], ratio: float | None = None) -> Line:
        self.lines.append(Line(what, unit, values, ratio))
        return self.lines[-1]

    def judge(self, passed: bool) -> None:
        self.passed = passed if self.passed is None else self.passed and passed

    def breach(self, note: str) -> None:
        self.broken, self.passed = True, False
        self.notes.append(f"BROKEN: {note}")

    def as_json(self) -> dict:
        return asdict(self) | {"lines": [asdict(line) | {"median": line.median} for line in self.lines]}


def print_outcome(name: str, outcome: Outcome) -> None:
    verdict = {None: "not judged", True: "met", False: "MISSED"}[outcome.passed]
    print(f"\n{name}: {outcome.target}: {verdict}")
    for line in outcome.lines:
        spread = f"{min(line.values):.3f} .. {max(line.values):.3f}" if len(line.values) > 1 else ""
        ratio = f"{line.ratio:.3f}" if line.ratio is not None else ""
        print(f"  {line.what:<44} {line.median:>10.3f} {line.unit:<5} {ratio:>7}  {spread}")
    for note in outcome.notes:
        print(f"  {note}")

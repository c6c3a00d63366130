"""What a case of bench/multipath_verbs is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .outcome import Outcome

MESSAGE_BYTES = 4 << 20


@dataclass
class VerbsSettings:
    weft: str | None  # the program, or None: measure the yardsticks alone
    ucx: bool  # whether there is a ucx_perftest
    planes: int
    rounds: int  # how often the compared programs take turns
    megabytes: int  # that each program moves in each direction in each round
    down_s: float  # how long a plane stays down that comes back
    short: bool  # less to do, and less to learn
    seed: int
    folder: Path  # where ranks may write
    environment: dict[str, str]  # of Weft's ranks, beside what the cases need


VerbsCase = Callable[[VerbsSettings], Outcome]

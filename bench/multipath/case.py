"""What a case of bench/multipath_tcp is."""

from collections.abc import Callable
from dataclasses import dataclass

from netfabric import Fabric

from .outcome import Line, Outcome, print_outcome
from .yardsticks import Yardsticks

__all__ = ["Case", "Line", "Outcome", "Settings", "print_outcome"]


@dataclass
class Settings:
    yardsticks: Yardsticks
    weft: str | None  # the program, or None: measure the yardsticks alone
    planes: int
    rate: str
    rounds: int  # how often the compared programs take turns
    seconds: float  # about how long each turn transfers
    mtu: int
    seed: int

    def fabric(self) -> Fabric:
        return Fabric(planes=self.planes, rate=self.rate, mtu=self.mtu)


Case = Callable[[Settings], Outcome]

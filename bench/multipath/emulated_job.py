"""Runs `weft perf` over verbs, a rank at either end of the planes of emulated machines, and reads what it says."""

import json
import time
from pathlib import Path

from machines import Cluster, Command, MachineError
from netfabric.weft_job import PerfRow, Statistics, parse_perf

# Each rank takes the devices of its host, and files of its own.
_AS_RANK = ('folder=$1; shift; export WEFT_TRANSPORT=verbs WEFT_IB_HCA="=$RDMA_VM_DEVICES"; '
            'if [ -n "$WEFT_STATS_INTERVAL_MS" ]; then export WEFT_STATS_FILE="$folder/statistics-$RANK.json"; fi; '
            'exec "$@" -J "$folder/perf-$RANK.json"')


class EmulatedJob:
    """Two ranks that run while it is entered; they are ended on leaving."""

    def __init__(self, cluster: Cluster, program: str, arguments: list[str], folder: Path, environment: dict[str, str] | None = None,
                 statistics_ms: int | None = 100):
        """`folder`: the cluster was made with it as writable; what is in it is removed. `statistics_ms`: how often the ranks write
        their statistics, 0 for once at the end, None for never. Files that are shared with the emulated machine cost its processors a good part of
        what they have."""
        self._cluster, self._folder = cluster, folder
        self._argv = ["sh", "-c", _AS_RANK, "sh", str(folder), program, "perf", *arguments]
        self._environment = {"WEFT_CONNECT_TIMEOUT_MS": "120000"} | (environment or {})
        if statistics_ms is not None:
            self._environment["WEFT_STATS_INTERVAL_MS"] = str(statistics_ms)
        self._output: dict[int, bytearray] = {}
        self.ranks: list[Command] = []

    def __enter__(self) -> "EmulatedJob":
        for file in self._folder.iterdir():
            file.unlink()
        each = 2 // len(self._cluster.machines)
        self.ranks = self._cluster.run_everywhere(self._argv, ranks_per_machine=each, environment=self._environment)
        self._output = {id(rank): bytearray() for rank in self.ranks}
        return self

    def __exit__(self, *_) -> None:
        for rank in self.ranks:
            if rank.status is None:
                rank.signal("KILL")

    def look(self) -> None:
        for machine in self._cluster.machines:
            machine.poll()
        for rank in self.ranks:
            self._take(rank, rank.new_output())

    @property
    def running(self) -> bool:
        return all(rank.status is None for rank in self.ranks)

    def wait(self, timeout_s: float) -> list[int]:
        """Exit statuses; one that takes longer is hung, which is an error."""
        self._cluster.wait(self.ranks, timeout_s, self._take, grace_s=60)
        return [rank.status for rank in self.ranks]

    def wait_until(self, done, timeout_s: float, what: str) -> None:
        limit = time.monotonic() + timeout_s
        while not done():
            self.look()
            if not self.running or time.monotonic() > limit:
                raise MachineError(f"weft did not come to this: {what}.{self.last_words()}")
            time.sleep(0.05)

    def row(self) -> PerfRow:
        if any(rank.status != 0 for rank in self.ranks):
            raise MachineError(f"{' '.join(self._argv[6:])} ended with {[r.status for r in self.ranks]}.{self.last_words()}")
        return parse_perf(json.loads((self._folder / "perf-0.json").read_text()))[0]

    def statistics(self, rank: int) -> Statistics:
        try:
            return Statistics(json.loads((self._folder / f"statistics-{rank}.json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return Statistics({})

    def total(self, counter: str, device: str | None = None) -> list[float]:
        """Of each rank."""
        return [self.statistics(rank).total(counter, device) for rank in range(len(self.ranks))]

    def words(self, rank: int) -> str:
        return self._output[id(self.ranks[rank])].decode(errors="replace")

    def last_words(self) -> str:
        return "".join(f"\nrank {number}: {line}" for number in range(len(self.ranks))
                       for line in self.words(number).strip().splitlines()[-5:])

    def _take(self, rank: Command, data: bytes) -> None:
        self._output[id(rank)] += data

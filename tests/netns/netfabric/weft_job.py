"""Runs `weft perf` with one rank on each host of a fabric, and reads what it says: its results, counters and errors."""

import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .commands import FabricError
from .fabric import Fabric

_MASTER_PORT = 29500


@dataclass(frozen=True)
class PerfRow:
    """One size of a `weft perf` run, out of place."""
    message_bytes: int
    time_us: float
    gigabytes_per_s: float  # bytes of one message per time, in each direction
    wrong: int | None  # None: not verified


@dataclass(frozen=True)
class PingpongRow:
    """One size of a `weft perf pingpong` run."""
    message_bytes: int
    half_round_trip_us: float  # median
    wrong: int


def parse_pingpong(document: dict) -> list[PingpongRow]:
    """The one place that knows the layout of `weft perf pingpong -J`."""
    return [PingpongRow(int(row["size"]), float(row["half_round_trip_us"]["median"]), int(row["nwrong"]))
            for row in document["results"]]


def parse_perf(document: dict) -> list[PerfRow]:
    """The one place that knows the layout of `weft perf -J`."""
    rows = []
    for row in document["results"]:
        outcome = row["out_of_place"]
        wrong = outcome.get("nwrong")
        rows.append(PerfRow(int(row["size"]), float(outcome["time"]), float(outcome["alg_bw"]),
                            None if wrong is None or wrong == "N/A" else int(wrong)))
    return rows


@dataclass(frozen=True)
class Statistics:
    """WEFT_STATS_FILE: this is the one place that knows its layout. Empty where nothing has been written yet."""
    document: dict

    @property
    def connections(self) -> list[dict]:
        """Each with its `paths`."""
        return self.document.get("connections", [])

    @property
    def paths(self) -> list[dict]:
        return [path for connection in self.connections for path in connection["paths"]]

    def total(self, counter: str, device: str | None = None) -> float:
        """Over every connection ever; with `device`, of the paths on this local interface."""
        totals = self.document.get("totals", {})
        if device is not None:
            totals = next((d for d in totals.get("devices", []) if d["local_device"] == device), {})
        return totals.get(counter, 0)


@dataclass
class Rank:
    process: subprocess.Popen
    error_lines: list[tuple[float, str]] = field(default_factory=list)  # with time.monotonic() of their arrival
    output_lines: list[str] = field(default_factory=list)
    ended_s: float | None = None


class WeftJob:
    """Two ranks, or as many as the fabric has hosts, that run while it is entered; they are ended on leaving."""

    def __init__(self, fabric: Fabric, program: str, arguments: list[str], environment: dict[str, str] | None = None,
                 on_loopback: bool = False):
        """With `on_loopback` both ranks run on host 0."""
        self._fabric, self._program, self._arguments = fabric, program, arguments
        self._environment = environment or {}
        self._on_loopback = on_loopback
        self._folder = tempfile.TemporaryDirectory(prefix="weft-job-")
        self._threads: list[threading.Thread] = []
        self.ranks: list[Rank] = []

    def __enter__(self) -> "WeftJob":
        hosts = [0, 0] if self._on_loopback else list(range(len(self._fabric.hosts)))
        for rank, host in enumerate(hosts):
            process = self._fabric.popen(
                host, [self._program, "perf", *self._arguments, "-J", str(self._path(f"perf-{rank}.json"))],
                env=self._rank_environment(rank, len(hosts)), text=True, errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.ranks.append(Rank(process))
            self._follow(self.ranks[-1])
        return self

    def __exit__(self, *_) -> None:
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.process.kill()
            rank.process.wait()
        for thread in self._threads:
            thread.join()
        for rank in self.ranks:
            rank.process.stdout.close()
            rank.process.stderr.close()
        self._folder.cleanup()

    @property
    def running(self) -> bool:
        return all(rank.process.poll() is None for rank in self.ranks)

    def wait(self, timeout_s: float) -> list[int]:
        """Exit statuses. A job that takes longer is hung: it is ended, and an exception says what it said last."""
        deadline = time.monotonic() + timeout_s
        for number, rank in enumerate(self.ranks):
            try:
                rank.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired as expired:
                raise FabricError(f"rank {number} still runs after {timeout_s:.0f} s.{self.last_words()}") from expired
        for thread in self._threads:
            thread.join()
        return [rank.process.returncode for rank in self.ranks]

    def rows(self) -> list[PerfRow]:
        """What rank 0 reported, once all ranks have ended well."""
        return parse_perf(self._report())

    def pingpong_rows(self) -> list[PingpongRow]:
        return parse_pingpong(self._report())

    def _report(self) -> dict:
        statuses = [rank.process.returncode for rank in self.ranks]
        if any(statuses):
            raise FabricError(f"weft perf {' '.join(self._arguments)} ended with {statuses}.{self.last_words()}")
        return json.loads(self._path("perf-0.json").read_text())

    def statistics(self, rank: int) -> Statistics:
        """The rank's counters as they were written last."""
        try:
            return Statistics(json.loads(self._path(f"statistics-{rank}.json").read_text()))
        except FileNotFoundError:
            return Statistics({})

    def paths(self, rank: int) -> list[dict]:
        return self.statistics(rank).paths

    def longest_stall_ms(self) -> float:
        return max(self.statistics(rank).total("longest_stall_ms") for rank in range(len(self.ranks)))

    def last_words(self) -> str:
        return "".join(f"\nrank {number}: {line}" for number, rank in enumerate(self.ranks)
                       for line in [text for _, text in rank.error_lines[-5:]] or rank.output_lines[-3:])

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _rank_environment(self, rank: int, ranks: int) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "NCCL_"))}
        return inherited | {
            "RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank if self._on_loopback else 0),
            "MASTER_ADDR": "127.0.0.1" if self._on_loopback else self._fabric.address(0),
            "MASTER_PORT": str(_MASTER_PORT),
            "WEFT_IF": "lo" if self._on_loopback else "p",
            "WEFT_STATS_FILE": str(self._path(f"statistics-{rank}.json")), "WEFT_STATS_INTERVAL_MS": "50",
        } | self._environment

    def _follow(self, rank: Rank) -> None:
        def read_errors() -> None:
            for line in rank.process.stderr:
                rank.error_lines.append((time.monotonic(), line.rstrip("\n")))
            rank.process.wait()
            rank.ended_s = time.monotonic()

        def read_output() -> None:
            rank.output_lines.extend(line.rstrip("\n") for line in rank.process.stdout)

        for function in (read_errors, read_output):
            self._threads.append(threading.Thread(target=function, daemon=True))
            self._threads[-1].start()


def find_weft() -> str | None:
    """The program under test: $WEFT_PROGRAM, as ctest sets it. Taken out of the environment: weft refuses WEFT_*
    variables that it does not know.
    """
    found = os.environ.pop("WEFT_PROGRAM", None)
    return found if found and os.access(found, os.X_OK) else None

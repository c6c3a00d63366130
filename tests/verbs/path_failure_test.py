#!/usr/bin/env python3
"""Planes are cut, made to lose packets, shut and given other addresses, and queue pairs forced into the error state, under a
verified exchange between two machines. What must hold: no wrong byte, no error, no hang, nothing written into a buffer after
its time (tests/engine/reused_buffers.cc); the paths that were hit fail and come back, and the counters say so.

    path_failure_test.py --exchange build/dev/tests/engine/reused_buffers [--planes 4] [--steps silent,link,...]
                         [--on tests/ucx/on_own_devices] [--preload libqueue_pairs_to_error.so] [--mrc FOLDER]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "rdma_vm"))
from machines import Cluster, KernelDied, MachineError, require_machines

TRIES = 3  # of the whole, should the machines' own kernel die of it
LIMIT_S = 120  # for each step; far more than it takes, since the computer may be busy
RANKS = (0, 1)
# The emulated machines are slow and share two processors: their silence is longer than a real machine's.
ENVIRONMENT = {"WEFT_PATHS_PER_PLANE": "2", "WEFT_TIMEOUT_MS": "60000", "WEFT_PATH_TIMEOUT_MS": "200", "WEFT_DEBUG": "INFO",
               "WEFT_STATS_INTERVAL_MS": "100"}


class JobIsOver(Exception):
    """It ended well before the step that it was needed for."""


class Job:
    """A rank in each machine that sends to the other until it has sent its messages."""

    def __init__(self, cluster: Cluster, exchange: list[str], folder: Path, messages: int):
        self._cluster, self._folder = cluster, folder
        self._output = bytearray()
        for rank in RANKS:
            self._counters_file(rank).unlink(missing_ok=True)
        for order in folder.glob("rdma-vm-*.rxe*"):  # that the last job did not live to take
            order.unlink()
        self._ranks = cluster.run_everywhere(
            [*exchange, str(messages)],
            environment=ENVIRONMENT | {"WEFT_STATS_FILE": f"{folder}/%h.json", "WEFT_TEST_QUEUE_PAIR_ORDERS": str(folder)})

    def _counters_file(self, rank: int) -> Path:
        return self._folder / f"rdma-vm-{rank}.json"

    def total(self, rank: int, name: str, device: str | None = None) -> int:
        try:
            totals = json.loads(self._counters_file(rank).read_text())["totals"]
        except (FileNotFoundError, json.JSONDecodeError):
            return 0
        if device is not None:
            totals = next((d for d in totals.get("devices", []) if d["local_device"] == device), {})
        return totals.get(name, 0)

    def _look(self) -> None:
        for machine in self._cluster.machines:
            machine.poll()
        for rank in self._ranks:
            self._output += rank.new_output()

    def wait_until(self, done, what: str) -> None:
        """While the exchange goes on: one that has ended proves nothing."""
        limit = time.monotonic() + LIMIT_S
        while not done():
            self._look()
            if any(rank.status is not None for rank in self._ranks):
                self.finish()
                raise JobIsOver
            if time.monotonic() > limit:
                raise MachineError(f"{what}: not within {LIMIT_S} s; the ranks said:\n{self.words}")
            time.sleep(0.05)

    def wait_for_data(self, what: str, megabytes: int = 8) -> None:
        before = [self.total(rank, "bytes_received") for rank in RANKS]
        self.wait_until(lambda: all(self.total(rank, "bytes_received") > before[rank] + (megabytes << 20) for rank in RANKS),
                        what)

    def wait_for_more(self, name: str, device: str, before: list[int], what: str) -> None:
        self.wait_until(lambda: all(self.total(rank, name, device) > before[rank] for rank in RANKS), what)

    def wait_until_in_use(self, device: str) -> None:
        """All its paths, at both ends: one that is on its way back cannot fail once more."""
        self.wait_until(lambda: self.count("revivals", device) == self.count("failures", device),
                        f"all paths of {device} are in use")

    def count(self, name: str, device: str) -> list[int]:
        return [self.total(rank, name, device) for rank in RANKS]

    def finish(self) -> None:
        status = self._cluster.wait(self._ranks, 8 * LIMIT_S, lambda _, data: self._output.extend(data))
        if status != 0:
            for machine in self._cluster.machines:
                machine.require_kernel()
            raise MachineError(f"the job left with {status}; it said:\n{self.words}")
        if self.words.count("every byte right, nothing written after completion") != len(RANKS):
            raise MachineError(f"the job did not check what arrived; it said:\n{self.words}")
        print("  a job is done, every byte right, none written late: " + "; ".join(
            f"rank {rank}: {self.total(rank, 'failures')} failures, {self.total(rank, 'revivals')} revivals, "
            f"{self.total(rank, 'chunks_resent')} chunks sent again, longest stall {self.total(rank, 'longest_stall_ms'):.0f} ms"
            for rank in RANKS), flush=True)

    @property
    def words(self) -> str:
        return self._output.decode(errors="replace")


def fail_and_return(job: Job, devices: list[str], what: str, cut, restore, pause_s: float = 0) -> None:
    """Paths of these devices fail at both ends, data goes on meanwhile, and they come back."""
    for device in devices:
        job.wait_until_in_use(device)
    failures = {device: job.count("failures", device) for device in devices}
    began = time.monotonic()
    cut()
    try:
        for device in devices:
            job.wait_for_more("failures", device, failures[device], f"both ends noticed that {device} was hit ({what})")
        noticed = time.monotonic()
        job.wait_for_data(f"data went on ({what})")
        time.sleep(pause_s)
    finally:
        revivals = {device: job.count("revivals", device) for device in devices}
        restore()
    restored = time.monotonic()
    for device in devices:
        job.wait_for_more("revivals", device, revivals[device], f"the paths of {device} came back ({what})")
    print(f"{what}: noticed by both ends within {noticed - began:.1f} s, back {time.monotonic() - restored:.1f} s after it "
          "was restored", flush=True)


class Steps:
    def __init__(self, cluster: Cluster, planes: int, folder: Path):
        self._cluster, self._last, self._folder = cluster, planes - 1, folder

    def _cut(self, job: Job, plane: int, how: str, host: int | None, pause_s: float = 0) -> None:
        fail_and_return(job, [f"rxe{plane}:1"], f"plane {plane}, {how}", lambda: self._cluster.plane(plane).cut(how, host),
                        self._cluster.plane(plane).restore, pause_s)

    def silent(self, job: Job) -> None:
        self._cut(job, 0, "silent", None)

    def roce(self, job: Job) -> None:
        """Paths are dialled by TCP, which goes on: those that are made anew must not be trusted for that."""
        self._cut(job, min(2, self._last), "roce", None, pause_s=2)

    def link(self, job: Job) -> None:
        self._cut(job, 1, "link", 0)

    def to(self, job: Job) -> None:
        self._cut(job, self._last, "to", 0)

    def down(self, job: Job) -> None:
        self._cut(job, self._last, "down", 0, pause_s=10)

    def both_ends(self, job: Job) -> None:
        """Each end loses another of its ports, at the same time."""
        planes = [self._cluster.plane(0), self._cluster.plane(self._last)]

        def cut() -> None:
            planes[0].cut("link", 0)
            planes[1].cut("link", 1)

        def restore() -> None:
            for plane in planes:
                plane.restore()

        fail_and_return(job, ["rxe0:1", f"rxe{self._last}:1"], f"planes 0 and {self._last}, a port of each end", cut, restore)

    def loss(self, job: Job) -> None:
        """Its paths may fail or not; all arrives, and the counters go on."""
        plane = self._cluster.plane(1)
        plane.netem("loss", "1%")
        try:
            job.wait_for_data("data went on with a loss of 1 % on plane 1", megabytes=32)
        finally:
            plane.restore()
        print(f"plane 1, 1 % loss: {sum(job.count('failures', 'rxe1:1'))} failures of its paths so far", flush=True)

    def address(self, job: Job) -> None:
        """A host's address is taken from it and given back: its GID goes and comes."""
        def ip(verb: str):
            return lambda: self._cluster.check(0, ["ip", "address", verb, f"{self._cluster.address(0, 1)}/24", "dev", "p1"])

        fail_and_return(job, ["rxe1:1"], "plane 1, its address gone", ip("del"), ip("add"))

    def queue_pairs(self, job: Job) -> None:
        """One end's go into the error state, then, of another plane, both ends'. Nothing is to be restored."""
        for plane, hosts in (0, (0,)), (self._last, RANKS):
            device = f"rxe{plane}:1"
            job.wait_until_in_use(device)
            failures, revivals = job.count("failures", device), job.count("revivals", device)
            orders = [self._folder / f"rdma-vm-{host}.rxe{plane}" for host in hosts]
            for order in orders:
                order.touch()
            what = f"plane {plane}, queue pairs forced into the error state at {'an end' if len(hosts) == 1 else 'both ends'}"
            job.wait_until(lambda: not any(order.exists() for order in orders), f"the order was taken ({what})")
            began = time.monotonic()
            job.wait_for_more("failures", device, failures, f"both ends noticed ({what})")
            noticed = time.monotonic()
            job.wait_for_more("revivals", device, revivals, f"the paths came back ({what})")
            job.wait_for_data(f"data went on ({what})")
            print(f"{what}: noticed by both ends within {noticed - began:.1f} s, back {time.monotonic() - noticed:.1f} s later",
                  flush=True)


STEPS = ("silent", "roce", "link", "to", "down", "both_ends", "loss", "address")  # and queue_pairs, given --preload


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", required=True, metavar="PROGRAM", help="reused_buffers")
    parser.add_argument("--on", default=str(ROOT / "tests/verbs/on_own_devices"), help="what chooses transport and devices")
    parser.add_argument("--planes", type=int, default=4)
    parser.add_argument("--messages", type=int, default=400, help="of the first job; if it ends too soon, the next has twice as many")
    parser.add_argument("--preload", metavar="LIBRARY", help="queue_pairs_to_error: adds the step queue_pairs")
    parser.add_argument("--steps", help=f"of {', '.join(STEPS)}, queue_pairs; all unless told")
    parser.add_argument("--mrc", metavar="FOLDER", help="use MRC queue pairs, by the lib_mrc.so in this folder")
    arguments = parser.parse_args()
    require_machines()
    arguments.steps = arguments.steps or ",".join(STEPS + ("queue_pairs",) * bool(arguments.preload))
    if arguments.preload:
        ENVIRONMENT["LD_PRELOAD"] = os.path.abspath(arguments.preload)
    if arguments.mrc:
        ENVIRONMENT.update({"WEFT_MRC": "on", "LD_LIBRARY_PATH": os.path.abspath(arguments.mrc), "WEFT_PATHS_PER_PLANE": "auto"})
    for attempt in range(1, TRIES + 1):
        try:
            with tempfile.TemporaryDirectory(prefix="weft-path-failure-") as scratch:
                folder = Path(scratch)
                with Cluster(2, arguments.planes, writable=[folder], boot_limit_s=2 * LIMIT_S) as cluster:
                    run(cluster, arguments, folder)
            break
        except KernelDied as death:
            if attempt == TRIES:
                raise
            print(f"try {attempt} of {TRIES} says nothing, all of it is done again: {death}", flush=True)
    return 0


def run(cluster: Cluster, arguments: argparse.Namespace, folder: Path) -> None:
    print("two emulated machines on this computer's processors: times are theirs, counters are written every 0.1 s", flush=True)
    steps = Steps(cluster, arguments.planes, folder)
    messages, waiting = arguments.messages, arguments.steps.split(",")
    exchange = [os.path.abspath(arguments.on), os.path.abspath(arguments.exchange)]
    while waiting:
        job = Job(cluster, exchange, folder, messages)
        try:
            job.wait_until(lambda: all(job.total(rank, "bytes_received") > 0 for rank in RANKS), "the first bytes came")
            while waiting:
                getattr(steps, waiting[0])(job)
                waiting.pop(0)
            job.finish()
        except JobIsOver:
            messages *= 2


if __name__ == "__main__":
    sys.exit(main())

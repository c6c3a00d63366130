#!/usr/bin/env python3
"""Cuts, slows and restores planes at random under a verified transfer. What must hold: no wrong byte, no hang, both
ranks leave with 0, and both ranks' counters have what happened: each cut that lasts is a failure of every path that it
hit, each such path is revived, and what stalled was counted.

The order of events follows from the seed, which is printed; their moments against the transfer's do not, so a seed
that fails may have to be run a few times. One plane always stays as it is, but for the short blackouts, in which every
plane is cut for less than the deadline of two seconds.
"""

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from netfabric import Fabric, FabricError, require_privilege
from netfabric.plane import CUTS
from netfabric.weft_job import WeftJob, find_weft

MESSAGE_BYTES = 16 * 2**20
MEAN_PAUSE_S, LONGEST_BLACKOUT_S = 0.35, 0.5
PEER_TIMEOUT_MS = 1800  # WEFT_TIMEOUT_MS
# A path is left after a quarter of that at the latest. A shorter cut may pass unnoticed: TCP sends again.
LASTING_CUT_S = 0.5
PATIENCE_S = 30  # with a machine that has no time for the ranks; nothing is measured by it


class Unrecorded(Exception):
    """The ranks' counters lack something that has happened."""


class Account:
    """The test's own account of cuts, against the counters of both ranks."""

    def __init__(self, fabric: Fabric, job: WeftJob):
        self._fabric, self._job = fabric, job
        self._hit: dict[int, tuple[float, list[tuple[int, int, int]]]] = {}  # plane: when; rank, failures, paths hit
        self._due = Counter()  # (rank, plane): failures that must be counted by now
        self.lasting_cuts = 0

    def begin_cut(self, plane: int) -> None:
        """To be called before a plane is cut that was not."""
        hit = []
        for rank in self._ranks():
            statistics, device = self._job.statistics(rank), self._device(rank, plane)
            usable = sum(_is_usable(path) for path in statistics.paths if path["local_device"] == device)
            hit.append((rank, statistics.total("failures", device), usable))
        self._hit[plane] = time.monotonic(), hit

    def end_cut(self, plane: int) -> None:
        """To be called before a plane is restored. If the cut has lasted, waits until both ranks have noticed."""
        began, hit = self._hit.pop(plane)
        if time.monotonic() - began < LASTING_CUT_S:
            return
        self.lasting_cuts += 1
        for rank, before, usable in hit:
            self._wait(lambda: self._count(rank, plane, "failures") >= before + usable,
                       lambda: f"rank {rank} used {usable} paths on plane {plane} when it was cut, and counted "
                               f"{self._count(rank, plane, 'failures') - before} failures there since")
            self._due[rank, plane] += usable

    def expect_revival(self) -> None:
        """After everything was restored: waits until every path was seen in use again, at both ends."""
        for rank in self._ranks():
            waiting = {number: path for number, path in enumerate(self._job.paths(rank))}

            def are_all_back() -> bool:
                for number, path in enumerate(self._job.paths(rank)):
                    if _is_usable(path):
                        waiting.pop(number, None)
                return not waiting

            self._wait(are_all_back, lambda: f"rank {rank} has paths that do not come back: {list(waiting.values())}")

    def check(self) -> str:
        """After the job. What was counted, in words."""
        said = []
        for rank in self._ranks():
            for plane in self._fabric.planes:
                failures, revivals = (self._count(rank, plane.index, name) for name in ("failures", "revivals"))
                due = self._due[rank, plane.index]
                if failures < due or not due <= revivals <= failures:
                    raise Unrecorded(f"rank {rank}, plane {plane.index}: {due} paths were cut in use and came back; "
                                     f"counted {failures} failures and {revivals} revivals")
            total = self._job.statistics(rank).total
            said.append(f"rank {rank} counted {total('failures')} failures, {self._due_of(rank)} at least due, "
                        f"{total('revivals')} revivals, {total('stalls')} stalls, the longest "
                        f"{total('longest_stall_ms'):.1f} ms")
        self._check_stalls()
        return "; ".join(said)

    def _check_stalls(self) -> None:
        # Of a rank alone nothing can be said: where only the way back was cut, all that it sent has arrived.
        if self.lasting_cuts and not sum(self._job.statistics(rank).total("stalls") for rank in self._ranks()):
            raise Unrecorded(f"{self.lasting_cuts} lasting cuts under load, and no stall was counted")
        for rank in self._ranks():
            total = self._job.statistics(rank).total
            stalls, longest_ms = total("stalls"), total("longest_stall_ms")
            # Whoever waits longer for every path has lost the peer.
            if not (0 < longest_ms <= PEER_TIMEOUT_MS if stalls else longest_ms == 0):
                raise Unrecorded(f"rank {rank} counted {stalls} stalls, the longest {longest_ms} ms")

    def _wait(self, done, complaint) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if not self._job.running:
                raise Unrecorded(f"{complaint()}; the job has ended.{self._job.last_words()}")
            if time.monotonic() > deadline:
                raise Unrecorded(complaint())
            time.sleep(0.02)

    def _ranks(self) -> range:
        return range(len(self._job.ranks))

    def _device(self, rank: int, plane: int) -> str:
        return self._fabric.plane(plane).nics[rank]

    def _count(self, rank: int, plane: int, counter: str) -> int:
        return self._job.statistics(rank).total(counter, self._device(rank, plane))

    def _due_of(self, rank: int) -> int:
        return sum(due for (of, _), due in self._due.items() if of == rank)


def _is_usable(path: dict) -> bool:
    return path["state"] in ("GOOD", "SKIP")


class Events:
    """Draws events, brings them about, and says what it did."""

    def __init__(self, fabric: Fabric, account: Account, seed: int, blackout_s: float):
        self._fabric, self._account, self._blackout_s = fabric, account, blackout_s
        self._chance = random.Random(seed)
        self._cut: set[int] = set()
        self._slow: set[int] = set()
        self.count, self.cuts = 0, 0

    def next(self) -> str:
        self.count += 1
        time.sleep(self._chance.uniform(0.2, 1.8) * MEAN_PAUSE_S)
        kind = self._chance.choices(("cut", "restore", "slow", "blackout"), (5, 4, 1, 0.6))[0]
        if kind == "blackout":
            return self._blackout()
        if kind == "slow":
            return self._change_rate()
        if kind == "restore" and self._cut or len(self._cut) == len(self._fabric.planes) - 1:
            return self._restore()
        return self._cut_one()

    def one_lasting_cut(self) -> None:
        """Whatever chance has brought: the planes that are cut now stay so for long enough, and one is."""
        if not self._cut:
            self._cut_one()
        time.sleep(LASTING_CUT_S)

    def undo(self) -> None:
        while self._cut:
            self._restore()
        for plane in sorted(self._slow):
            self._fabric.plane(plane).set_rate(self._fabric.rate)

    def _cut_one(self) -> str:
        plane = self._chance.choice([p.index for p in self._fabric.planes if p.index not in self._cut])
        how, host = self._chance.choice(CUTS), self._chance.choice((None, 0, 1))
        self._account.begin_cut(plane)
        self._fabric.plane(plane).cut(how, host)
        self._cut.add(plane)
        self.cuts += 1
        return f"cut plane {plane}, {how}, {'both hosts' if host is None else f'host {host}'}"

    def _restore(self) -> str:
        plane = self._chance.choice(sorted(self._cut))
        self._account.end_cut(plane)
        self._fabric.plane(plane).restore()
        self._cut.remove(plane)
        return f"restore plane {plane}"

    def _change_rate(self) -> str:
        plane = self._chance.randrange(len(self._fabric.planes))
        self._slow ^= {plane}
        rate = self._fabric.rate // 4 if plane in self._slow else self._fabric.rate
        self._fabric.plane(plane).set_rate(rate)
        return f"plane {plane} at {rate / 1e6:g} Mb/s"

    def _blackout(self) -> str:
        seconds = self._chance.uniform(0.02, self._blackout_s)
        for plane in sorted(self._cut):
            self._account.end_cut(plane)
        self._fabric.cut_all()
        time.sleep(seconds)
        for plane in self._fabric.planes:
            plane.restore()
        self._cut.clear()
        self.cuts += len(self._fabric.planes)
        return f"every plane cut for {seconds:.2f} s"


def run(program: str, events_wanted: int, seed: int, blackout_s: float, planes: int, rate: str, transport: str) -> int:
    with Fabric(planes=planes, rate=rate) as fabric:
        # Long enough that the transfer outlives the events even if no event slowed it.
        seconds = events_wanted * (MEAN_PAUSE_S + 0.1) + 6
        iterations = round(fabric.rate * planes / 8 * seconds / MESSAGE_BYTES)
        arguments = ["sendrecv", "-b", str(MESSAGE_BYTES), "-e", str(MESSAGE_BYTES), "-n", str(iterations), "-w", "1"]
        environment = {"WEFT_TIMEOUT_MS": str(PEER_TIMEOUT_MS), "WEFT_TRANSPORT": transport}
        with WeftJob(fabric, program, arguments, environment) as job:
            account = Account(fabric, job)
            events = Events(fabric, account, seed, blackout_s)
            _wait_until_moving(job)
            while events.count < events_wanted:
                at = time.monotonic()
                said = events.next()
                print(f"  {events.count:4} {at:.2f} s: {said}", flush=True)
                if not job.running:
                    print(f"FAILED: the job ended after event {events.count}.{job.last_words()}")
                    return 1
            events.one_lasting_cut()
            events.undo()
            account.expect_revival()
            statuses = job.wait(seconds * 4 + 60)
            if any(statuses):
                print(f"FAILED: the ranks ended with {statuses}.{job.last_words()}")
                return 1
            row = job.rows()[0]
            print(f"{events.count} events, {events.cuts} cuts, {account.lasting_cuts} lasted; {account.check()};"
                  f" {iterations} messages of {MESSAGE_BYTES >> 20} MiB, {row.gigabytes_per_s:.3f} GB/s,"
                  f" wrong: {row.wrong}")
    if row.wrong != 0:
        print("FAILED: " + ("the transfer was not verified" if row.wrong is None else "bytes arrived wrong"))
        return 1
    return 0


def _wait_until_moving(job: WeftJob) -> None:
    deadline = time.monotonic() + 30
    while not any(int(path["bytes_received"]) > MESSAGE_BYTES for path in job.paths(1)):
        if not job.running or time.monotonic() > deadline:
            raise FabricError(f"the transfer did not begin.{job.last_words()}")
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weft", help="the weft program ($WEFT_PROGRAM)")
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--longest-blackout", type=float, default=LONGEST_BLACKOUT_S, metavar="S",
                        help="from 2 on, the transfer may rightly fail")
    parser.add_argument("--planes", type=int, default=4)
    parser.add_argument("--rate", default="400mbit")
    parser.add_argument("--transport", default="tcp", help="WEFT_TRANSPORT: tcp, or ucx by way of its tcp")
    arguments = parser.parse_args()
    # A start inside a user namespace happens with the same arguments and environment.
    require_privilege()
    program = arguments.weft or find_weft()
    if not program or not os.access(program, os.X_OK):
        parser.error("say with --weft where the weft program is")
    print(f"seed {arguments.seed}")
    try:
        return run(program, arguments.events, arguments.seed, arguments.longest_blackout, arguments.planes, arguments.rate,
                   arguments.transport)
    except (FabricError, Unrecorded) as error:
        print(f"FAILED: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())

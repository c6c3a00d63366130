#!/usr/bin/env python3
"""Cuts, slows and restores planes at random under a verified transfer. What must hold: no wrong byte, no hang, both
ranks leave with 0, and what stalled was counted.

The order of events follows from the seed, which is printed; their moments against the transfer's do not, so a seed
that fails may have to be run a few times. One plane always stays as it is, but for the short blackouts, in which every
plane is cut for less than the deadline of two seconds.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from netfabric import Fabric, FabricError, require_privilege
from netfabric.plane import CUTS
from netfabric.weft_job import WeftJob, find_weft

MESSAGE_BYTES = 16 * 2**20
MEAN_PAUSE_S, LONGEST_BLACKOUT_S = 0.35, 0.5


class Events:
    """Draws events, brings them about, and says what it did."""

    def __init__(self, fabric: Fabric, seed: int, blackout_s: float):
        self._fabric, self._chance, self._blackout_s = fabric, random.Random(seed), blackout_s
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

    def undo(self) -> None:
        for plane in sorted(self._cut):
            self._fabric.plane(plane).restore()
        for plane in sorted(self._slow):
            self._fabric.plane(plane).set_rate(self._fabric.rate)

    def _cut_one(self) -> str:
        plane = self._chance.choice([p.index for p in self._fabric.planes if p.index not in self._cut])
        how, host = self._chance.choice(CUTS), self._chance.choice((None, 0, 1))
        self._fabric.plane(plane).cut(how, host)
        self._cut.add(plane)
        self.cuts += 1
        return f"cut plane {plane}, {how}, {'both hosts' if host is None else f'host {host}'}"

    def _restore(self) -> str:
        plane = self._chance.choice(sorted(self._cut))
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
        self._fabric.cut_all()
        time.sleep(seconds)
        for plane in self._fabric.planes:
            plane.restore()
        self._cut.clear()
        self.cuts += len(self._fabric.planes)
        return f"every plane cut for {seconds:.2f} s"


def run(program: str, events_wanted: int, seed: int, blackout_s: float, planes: int, rate: str) -> int:
    with Fabric(planes=planes, rate=rate) as fabric:
        # Long enough that the transfer outlives the events even if no event slowed it.
        seconds = events_wanted * (MEAN_PAUSE_S + 0.1) + 3
        iterations = round(fabric.rate * planes / 8 * seconds / MESSAGE_BYTES)
        arguments = ["sendrecv", "-b", str(MESSAGE_BYTES), "-e", str(MESSAGE_BYTES), "-n", str(iterations), "-w", "1"]
        events = Events(fabric, seed, blackout_s)
        with WeftJob(fabric, program, arguments) as job:
            _wait_until_moving(job)
            while events.count < events_wanted:
                at = time.monotonic()
                said = events.next()
                print(f"  {events.count:4} {at:.2f} s: {said}", flush=True)
                if not job.running:
                    print(f"FAILED: the job ended after event {events.count}.{job.last_words()}")
                    return 1
            events.undo()
            statuses = job.wait(seconds * 4 + 60)
            if any(statuses):
                print(f"FAILED: the ranks ended with {statuses}.{job.last_words()}")
                return 1
            row = job.rows()[0]
            failures, stall_ms = job.failures(), job.longest_stall_ms()
    print(f"{events.count} events, {events.cuts} cuts; Weft counted {failures} path failures, longest stall {stall_ms:.1f} ms;"
          f" {iterations} messages of {MESSAGE_BYTES >> 20} MiB, {row.gigabytes_per_s:.3f} GB/s, wrong: {row.wrong}")
    if row.wrong is None:
        print("FAILED: the transfer was not verified")
        return 1
    if row.wrong != 0 or failures == 0 and events.cuts > 5:
        print("FAILED: " + ("bytes arrived wrong" if row.wrong else "planes were cut and Weft counted no failure"))
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
    arguments = parser.parse_args()
    # A start inside a user namespace happens with the same arguments and environment.
    require_privilege()
    program = arguments.weft or find_weft()
    if not program or not os.access(program, os.X_OK):
        parser.error("say with --weft where the weft program is")
    print(f"seed {arguments.seed}")
    try:
        return run(program, arguments.events, arguments.seed, arguments.longest_blackout, arguments.planes, arguments.rate)
    except FabricError as error:
        print(f"FAILED: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())

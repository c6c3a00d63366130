"""What does a transfer notice when planes are cut under it, and when they come back?

Two accounts are kept: Weft's own counters, and the kernel's byte counters of the receiving host's NICs, sampled every
two milliseconds. Neither knows of the other.
"""

import random
import re
import statistics
import time

from netfabric import Fabric, FabricError
from netfabric.counters import PlaneCounters
from netfabric.weft_job import WeftJob

from .case import Outcome, Settings
from .plane_rates import MESSAGE_BYTES, perf_arguments

_STALL_MS, _ERROR_S, _RETURN_S = 50.0, 2.0, 1.0
_IN_USE_BYTES = 2**20  # more than probes and acknowledgements: a plane that carries this carries chunks


def cut_plane(settings: Settings) -> Outcome:
    outcome = Outcome(target=f"one plane cut in mid-transfer: stall of at most {_STALL_MS:.0f} ms, no error, no wrong byte")
    chance = random.Random(settings.seed)
    for how in ("silent", "link"):
        stalls, silences, ordinary, shares = [], [], [], []
        for _ in range(settings.rounds if settings.weft else 0):
            with settings.fabric() as fabric, PlaneCounters(fabric, 1) as counters, _long_job(settings, fabric, 4) as job:
                _wait_for_traffic(fabric, counters, job)
                time.sleep(chance.uniform(0.5, 0.8))
                start = time.monotonic()
                fabric.plane(chance.randrange(settings.planes)).cut(how)
                after = time.monotonic()
                job.wait(120)
                wrong = job.rows()[0].wrong
                stalls.append(job.longest_stall_ms())
                # Half a second around the cut is compared with the half second before.
                silences.append(1e3 * counters.longest_silence(start, start + 0.5))
                ordinary.append(1e3 * counters.longest_silence(start - 0.5, start))
                lost_rate = sum(counters.received_between(after + 0.1, after + 0.6)) / 0.5
                full_rate = sum(counters.received_between(start - 0.5, start)) / 0.5
                shares.append(lost_rate / full_rate * settings.planes / (settings.planes - 1))
            if wrong != 0:
                outcome.breach(f"{how}: wrong elements: {wrong}")
        if stalls:
            outcome.add(f"{how}: stall by Weft's counters", "ms", stalls)
            outcome.add(f"{how}: longest silence of all planes, cut", "ms", silences)
            outcome.add(f"{how}: longest silence of all planes, before", "ms", ordinary)
            outcome.add(f"{how}: rate after, of what the others had", "", shares)
            outcome.judge(statistics.median(stalls) <= _STALL_MS and statistics.median(silences) <= _STALL_MS)
    return outcome


def cut_all(settings: Settings) -> Outcome:
    outcome = Outcome(target=f"every plane cut: within {_ERROR_S:g} s an error that names device, port, peer and path")
    times = []
    for _ in range(settings.rounds if settings.weft else 0):
        with settings.fabric() as fabric, PlaneCounters(fabric, 1) as counters, _long_job(settings, fabric, 30) as job:
            _wait_for_traffic(fabric, counters, job)
            time.sleep(0.5)
            fabric.cut_all("silent")
            cut = time.monotonic()
            statuses = job.wait(30)
            for number, rank in enumerate(job.ranks):
                errors = [(at, line) for at, line in rank.error_lines if at >= cut and _names_everything(line)]
                if statuses[number] == 0 or not errors:
                    outcome.breach(f"rank {number}: status {statuses[number]}, no such error;{job.last_words()}")
                else:
                    times.append(errors[0][0] - cut)
                    if number == 0 and len(times) <= len(job.ranks):
                        outcome.notes.append(f"for example: {errors[0][1]}")
    if times:
        outcome.add("from the cut to the error", "s", times)
        outcome.judge(max(times) <= _ERROR_S)
    return outcome


def restored_plane(settings: Settings) -> Outcome:
    outcome = Outcome(target=f"a plane restored: carries data again within {_RETURN_S:g} s")
    chance = random.Random(settings.seed)
    for how in ("silent", "link"):
        times = []
        for _ in range(settings.rounds if settings.weft else 0):
            with settings.fabric() as fabric, PlaneCounters(fabric, 1) as counters, _long_job(settings, fabric, 8) as job:
                _wait_for_traffic(fabric, counters, job)
                plane = chance.randrange(settings.planes)
                fabric.plane(plane).cut(how)
                time.sleep(chance.uniform(1.0, 3.0))
                fabric.plane(plane).restore()
                restored = time.monotonic()
                job.wait(120)
                back = counters.first_growth(plane, restored, _IN_USE_BYTES)
                wrong = job.rows()[0].wrong
            if wrong != 0:
                outcome.breach(f"{how}: wrong elements: {wrong}")
            if back is None:
                outcome.breach(f"{how}: plane {plane} carried nothing any more")
            else:
                times.append(back - restored)
        if times:
            outcome.add(f"{how}: from the restoring to {_IN_USE_BYTES >> 20} MiB carried", "s", times)
            outcome.judge(statistics.median(times) <= _RETURN_S)
    return outcome


def _long_job(settings: Settings, fabric: Fabric, seconds: float) -> WeftJob:
    # A row is two measurements, out of place and in place.
    iterations = max(4, round(fabric.rate * settings.planes / 8 * seconds / MESSAGE_BYTES / 2))
    return WeftJob(fabric, settings.weft, perf_arguments(iterations))


def _wait_for_traffic(fabric: Fabric, counters: PlaneCounters, job: WeftJob) -> None:
    """Returns when every plane has carried data, and the planes more than a message."""
    deadline = time.monotonic() + 30
    while True:
        carried = counters.samples[-1].received_bytes
        if sum(carried) > MESSAGE_BYTES and min(carried) > _IN_USE_BYTES:
            return
        if not job.running or time.monotonic() > deadline:
            raise FabricError(f"weft did not come to use all planes, which carried {carried} bytes.{job.last_words()}")
        time.sleep(0.01)


def _names_everything(line: str) -> bool:
    """Device (p0), port and peer (ADDRESS:PORT), and path."""
    return all(re.search(pattern, line) for pattern in (r"\bp\d\b", r"10\.0\.\d+\.\d+:\d+", r"\bpath\b"))

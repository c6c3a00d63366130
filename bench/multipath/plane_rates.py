"""How much of what the planes offer does one transfer get? All are healthy, or one has a quarter of its rate."""

import statistics

from netfabric import Fabric
from netfabric.weft_job import WeftJob

from .case import Outcome, Settings

MESSAGE_BYTES = 64 * 2**20
SLOW_PLANE = 2


def equal_planes(settings: Settings) -> Outcome:
    with settings.fabric() as fabric:
        return _compare(settings, fabric, [fabric.rate] * settings.planes, 0.97)


def slow_plane(settings: Settings) -> Outcome:
    with settings.fabric() as fabric:
        rates = [fabric.rate] * settings.planes
        rates[SLOW_PLANE] //= 4
        fabric.plane(SLOW_PLANE).set_rate(rates[SLOW_PLANE])
        return _compare(settings, fabric, rates, 0.93)


def _compare(settings: Settings, fabric: Fabric, rates: list[int], least: float) -> Outcome:
    outcome = Outcome(target=f"weft moves at least {least:.0%} of the sum of the planes' single streams")
    planes: list[list[float]] = [[] for _ in rates]
    mptcp, weft, subflows = [], [], set()
    for _ in range(settings.rounds):
        for plane, rate in enumerate(rates):
            planes[plane].append(settings.yardsticks.tcp_stream(fabric, plane, settings.seconds, rate, True))
        result = settings.yardsticks.mptcp_stream(fabric, settings.seconds, sum(rates), True)
        mptcp.append(result["median_gigabytes_per_s"])
        subflows.add(result["subflows"])
        if settings.weft:
            weft.append(_weft_rate(settings, fabric, sum(rates), outcome))

    total = sum(statistics.median(values) for values in planes)
    for plane, values in enumerate(planes):
        outcome.add(f"plain TCP stream on plane {plane}", "GB/s", values, statistics.median(values) / total)
    outcome.add("sum of the planes' single streams", "GB/s", [total], 1.0)
    outcome.add(f"kernel MPTCP over {settings.planes} planes", "GB/s", mptcp, statistics.median(mptcp) / total)
    if subflows != {settings.planes}:
        outcome.notes.append(f"MPTCP had {sorted(subflows)} subflows instead of {settings.planes}")
    if weft:
        line = outcome.add(f"weft perf sendrecv over {settings.planes} planes", "GB/s", weft)
        line.ratio = line.median / total
        outcome.judge(line.ratio >= least)
    return outcome


def _weft_rate(settings: Settings, fabric: Fabric, sum_bits_per_s: int, outcome: Outcome) -> float:
    iterations = max(5, round(sum_bits_per_s / 8 * settings.seconds / MESSAGE_BYTES))
    with WeftJob(fabric, settings.weft, perf_arguments(iterations)) as job:
        job.wait(60 + 20 * settings.seconds)
        row = job.rows()[0]
    if row.wrong != 0:
        outcome.breach(f"weft: wrong elements: {row.wrong}")
    return row.gigabytes_per_s


def perf_arguments(iterations: int, message_bytes: int = MESSAGE_BYTES, warmup: int = 2) -> list[str]:
    return ["sendrecv", "-b", str(message_bytes), "-e", str(message_bytes), "-n", str(iterations), "-w", str(warmup)]

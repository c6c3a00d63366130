"""Where no network limits, the software does: one connection on a host's own loopback beside plain TCP. Both run in
one namespace, so that both have its congestion control.

Virtual machines have faster and slower minutes, in which the very same program takes half as long again. So every
round runs all programs one after the other, and what is judged is the median of the rounds' own ratios.
"""

import itertools
import statistics

from netfabric import Fabric
from netfabric.weft_job import WeftJob

from .case import Outcome, Settings
from .plane_rates import MESSAGE_BYTES, perf_arguments

_LEAST_STREAM, _MOST_PINGPONG = 0.95, 1.15
_FOUR_PATHS = {"WEFT_PATHS_PER_PLANE": "4"}


def loopback_stream(settings: Settings) -> Outcome:
    outcome = Outcome(target=f"64 MiB messages over one connection: at least {_LEAST_STREAM} of the best TCP stream")
    with Fabric(planes=1) as fabric:
        options = _best_stream_options(settings, fabric, outcome)
        plain, default, four_paths = [], [], []
        for _ in range(settings.rounds):
            plain.append(settings.yardsticks.tcp_stream_on_loopback(fabric, options))
            if settings.weft:
                default.append(_weft_rate(settings, fabric, {}))
                four_paths.append(_weft_rate(settings, fabric, _FOUR_PATHS))
    outcome.add("plain TCP stream, both directions at once", "GB/s", plain, 1.0)
    if settings.weft:
        ratio = _typical_ratio(default, plain)
        outcome.add("weft perf sendrecv", "GB/s", default, ratio)
        outcome.add("weft perf sendrecv, four paths", "GB/s", four_paths, _typical_ratio(four_paths, plain))
        outcome.judge(ratio >= _LEAST_STREAM)
    return outcome


def loopback_pingpong(settings: Settings) -> Outcome:
    outcome = Outcome(target=f"8 bytes to and fro: half a round trip at most {_MOST_PINGPONG} of plain TCP's")
    round_trips = max(2000, round(settings.seconds * 5000))
    plain: dict[str, list[float]] = {}
    default: list[float] = []
    four_paths: list[float] = []
    exchanges: list[float] = []
    with Fabric(planes=1) as fabric:
        for _ in range(settings.rounds):
            result = settings.yardsticks.tcp_pingpong_on_loopback(
                fabric, ["--round-trips", str(round_trips), "--warmup", "500", "--repetitions", "3"])
            for wait in ("blocking", "spinning"):
                plain.setdefault(f"plain TCP, {wait}", []).append(result["pingpong"][wait]["median_us"])
            plain.setdefault("plain TCP, best", []).append(result["pingpong"]["best_median_us"])
            plain.setdefault("plain TCP exchange, best", []).append(result["exchange"]["best_median_us"])
            if settings.weft:
                default.append(_half_round_trip_us(settings, fabric, round_trips, {}, outcome))
                four_paths.append(_half_round_trip_us(settings, fabric, round_trips, _FOUR_PATHS, outcome))
                arguments = perf_arguments(round_trips, message_bytes=8, warmup=1000)
                with WeftJob(fabric, settings.weft, arguments, {}, on_loopback=True) as job:
                    job.wait(120)
                    exchanges.append(job.rows()[0].time_us)
    best = plain["plain TCP, best"]
    for what, values in plain.items():
        outcome.add(what, "us", values, _typical_ratio(values, best))
    if settings.weft:
        ratio = _typical_ratio(default, best)
        outcome.add("weft perf pingpong", "us", default, ratio)
        outcome.add("weft perf pingpong, four paths", "us", four_paths, _typical_ratio(four_paths, best))
        outcome.add("weft perf sendrecv, to exchange", "us", exchanges,
                    _typical_ratio(exchanges, plain["plain TCP exchange, best"]))
        outcome.judge(ratio <= _MOST_PINGPONG)
    return outcome


def _typical_ratio(values: list[float], yardstick: list[float]) -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(value / other for value, other in zip(values, yardstick, strict=True))


def _half_round_trip_us(settings: Settings, fabric: Fabric, round_trips: int, environment: dict[str, str],
                        outcome: Outcome) -> float:
    arguments = ["pingpong", "-b", "8", "-e", "8", "-n", str(round_trips), "-w", "1000"]
    with WeftJob(fabric, settings.weft, arguments, environment, on_loopback=True) as job:
        job.wait(120)
        row = job.pingpong_rows()[0]
    if row.wrong != 0:
        outcome.breach(f"weft: wrong bytes: {row.wrong}")
    return row.half_round_trip_us


def _best_stream_options(settings: Settings, fabric: Fabric, outcome: Outcome) -> list[str]:
    """Tries sizes of calls and buffers once, and keeps the fastest for all rounds."""
    def options(duplex: str, call: str, buffer_bytes: int, messages: int) -> list[str]:
        return ["--duplex", duplex, "--message-bytes", str(MESSAGE_BYTES), "--messages", str(messages), "--warmup-messages", "2",
                "--repetitions", "3", "--wait-all", "--call-bytes", call, "--send-buffer", str(buffer_bytes),
                "--receive-buffer", str(buffer_bytes)]

    tried = {}
    for way in itertools.product(("threads", "one-thread"), ("256k", "512k", "1m"), (0, 4 * 10**6)):
        tried[way] = settings.yardsticks.tcp_stream_on_loopback(fabric, options(*way, 4))
    best = max(tried, key=tried.get)
    outcome.notes.append(f"the plain stream runs in the best of {len(tried)} ways: duplex by {best[0]}, calls of "
                         f"{best[1]}, socket buffers " + (f"of {best[2]} bytes" if best[2] else "grown by the kernel"))
    return options(*best, max(6, round(settings.seconds * 10)))


def _weft_rate(settings: Settings, fabric: Fabric, environment: dict[str, str]) -> float:
    iterations = max(10, round(settings.seconds * 30))
    with WeftJob(fabric, settings.weft, perf_arguments(iterations), environment, on_loopback=True) as job:
        job.wait(120)
        return job.rows()[0].gigabytes_per_s

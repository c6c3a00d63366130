"""What does WEFT_COMPRESS bring, with real numbers as the data? Over planes that are slow, and within a host, where it must cost
nothing."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from netfabric import Fabric
from netfabric.weft_job import WeftJob

from .case import Outcome
from .yardsticks import Yardsticks

_LEAST_GAIN, _NOT_SLOWER = 1.3, 0.98
_LEVELS = ("fast", "dense", "archive")


@dataclass
class CompressedSettings:
    yardsticks: Yardsticks
    weft: str
    net_plugin: Path | None  # through which data goes, instead of Weft's own connections
    data: Path  # what is sent, over and over
    rounds: int
    seconds: float  # about how long each turn transfers
    levels: bool  # measure each level besides off and auto
    message_bytes: int

    def choices(self) -> tuple[str, ...]:
        return ("off", "auto", *(_LEVELS if self.levels else ()))


def one_gigabit(settings: CompressedSettings) -> Outcome:
    outcome = Outcome(target=f"one plane of 1 Gb/s, both directions busy: auto at least {_LEAST_GAIN} of off")
    with Fabric(planes=1, rate="1gbit") as fabric:
        plain = [settings.yardsticks.tcp_stream(fabric, 0, settings.seconds, fabric.rate, True)]
        outcome.add("plain TCP stream", "GB/s", plain)
        return _compare(settings, fabric, outcome, fabric.rate / 8, False, _LEAST_GAIN)


def four_planes(settings: CompressedSettings) -> Outcome:
    outcome = Outcome(target=f"four planes of 400 Mb/s, both directions busy: auto at least {_LEAST_GAIN} of off")
    with Fabric(planes=4, rate="400mbit") as fabric:
        return _compare(settings, fabric, outcome, 4 * fabric.rate / 8, False, _LEAST_GAIN)


def loopback(settings: CompressedSettings) -> Outcome:
    outcome = Outcome(target=f"within a host: auto at least {_NOT_SLOWER} of off")
    with Fabric(planes=1) as fabric:
        return _compare(settings, fabric, outcome, 2e9, True, _NOT_SLOWER)


def planes(settings: CompressedSettings, count: int, rate: str) -> Outcome:
    outcome = Outcome(target=f"{count} planes of {rate}, both directions busy: auto at least {_NOT_SLOWER} of off")
    with Fabric(planes=count, rate=rate) as fabric:
        return _compare(settings, fabric, outcome, count * fabric.rate / 8, False, _NOT_SLOWER)


def _compare(settings: CompressedSettings, fabric: Fabric, outcome: Outcome, bytes_per_s: float, on_loopback: bool,
             least: float) -> Outcome:
    values: dict[str, list[float]] = {choice: [] for choice in settings.choices()}
    said: dict[str, str] = {}
    for turn in range(settings.rounds):
        order = list(values) if turn % 2 == 0 else list(values)[::-1]
        for choice in order:
            values[choice].append(_rate(settings, fabric, choice, bytes_per_s, on_loopback, outcome, said))
    off = values["off"]
    for choice, rates in values.items():
        # Machines have faster and slower minutes: what is judged is the median of the rounds' own ratios.
        ratio = statistics.median(rate / other for rate, other in zip(rates, off, strict=True))
        outcome.add(f"WEFT_COMPRESS={choice}: {said[choice]}", "GB/s", rates, ratio)
        if choice == "auto":
            outcome.judge(ratio >= least)
    return outcome


def _rate(settings: CompressedSettings, fabric: Fabric, choice: str, bytes_per_s: float, on_loopback: bool, outcome: Outcome,
          said: dict[str, str]) -> float:
    message_bytes = settings.message_bytes
    # Choices are made while it warms up.
    warm_up = max(8, round(bytes_per_s * min(1.0, settings.seconds) / message_bytes))
    iterations = max(4, round(bytes_per_s * settings.seconds / message_bytes))
    arguments = ["sendrecv", "-b", str(message_bytes), "-e", str(message_bytes), "-n", str(iterations), "-w", str(warm_up),
                 "-d", "bfloat16", "--data", str(settings.data)]
    if settings.net_plugin:
        arguments += ["--net-plugin", str(settings.net_plugin)]
    with WeftJob(fabric, settings.weft, arguments, {"WEFT_COMPRESS": choice}, on_loopback=on_loopback) as job:
        job.wait(60 + 20 * settings.seconds)
        row = job.rows()[0]
        coded = job.statistics(0).connections[0]["compression"]
        sent, chunks_coded = (job.statistics(0).total(name) for name in ("bytes_sent", "chunks_sent_coded"))
    if row.wrong != 0:
        outcome.breach(f"{choice}: wrong elements: {row.wrong}")
    if choice in _LEVELS and chunks_coded == 0:
        outcome.breach(f"{choice}: not one chunk went coded")
    plain, wire = coded["plain_bytes_sent_coded"], coded["wire_bytes_sent_coded"]
    said[choice] = coded["level"]
    if plain:
        said[choice] += f", {plain / sent:.0%} coded, ratio {plain / wire:.3f}"
    if choice == "auto":
        outcome.notes.append(f"auto says: {coded['why'].splitlines()[0]}")
    return row.gigabytes_per_s

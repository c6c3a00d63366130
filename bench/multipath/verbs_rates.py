"""How much of what perftest moves over SoftRoCE does one transfer of Weft's move? In one emulated machine, whose processors are the
limit: rates are no NIC's, and only ratios of one round are worth anything. Both directions are busy at once in every program.

What is judged has the same conditions: messages of 4 MiB a plane, one under way in each direction of a plane, about as many bytes.
Perftest as it comes (64 KiB, 128 under way) and UCX stand beside it.
"""

import json
import statistics
from collections.abc import Callable
from pathlib import Path

from machines import Cluster, MachineError

from .emulated_job import EmulatedJob
from .outcome import Outcome
from .verbs_case import MESSAGE_BYTES, VerbsSettings

_LEAST = 0.9
_LIMIT_S = 600
_MUCH_SENT_AGAIN = 1.1
_SCRIPT = str(Path(__file__).resolve().parent / "timed_transfers")
# One message under way; each has a completion.
_SAME = ["-t", "1", "-Q", "1"]


def one_plane(settings: VerbsSettings) -> Outcome:
    return _compare(settings, 1)


def four_planes(settings: VerbsSettings) -> Outcome:
    return _compare(settings, settings.planes)


def _compare(settings: VerbsSettings, planes: int) -> Outcome:
    against = "ib_write_bw" if planes == 1 else f"the sum of {planes} ib_write_bw at once"
    outcome = Outcome(target=f"weft perf sendrecv moves at least {_LEAST} of what {against} moves, messages and depth alike")
    on = "" if planes == 1 else f" over {planes} planes"
    with Cluster(1, planes, writable=[settings.folder]) as cluster:
        def rate(program: str, size: int, options: list[str]) -> float:
            return _rate(settings, cluster, outcome, program, planes, size, options)

        same, weft = f"ib_write_bw{on}, {MESSAGE_BYTES >> 20} MiB, 1 under way", f"weft perf sendrecv{on}"
        turns: dict[str, Callable[[], float]] = {same: lambda: rate("ib_write_bw", MESSAGE_BYTES, _SAME)}
        if settings.weft:
            turns[weft] = lambda: _weft_rate(settings, cluster, planes, outcome)
        turns[f"ib_write_bw{on}, 64 KiB, 128 under way"] = lambda: rate("ib_write_bw", 65536, [])
        if settings.ucx:
            turns[f"ucx_perftest ucp_put_bw{on}"] = lambda: rate("ucx_perftest", MESSAGE_BYTES, [])
        values = _take_turns(settings, turns, [same, weft], outcome)
    for what, measured in values.items():
        if measured:
            outcome.add(what, "MB/s", measured, _typical_ratio(measured, values[same]) if len(measured) == settings.rounds else None)
    if not settings.ucx:
        outcome.notes.append("ucx_perftest is skipped: it is not installed (Debian: ucx-utils)")
    if settings.weft:
        ratios = [ours / theirs for ours, theirs in zip(values[weft], values[same], strict=True)]
        outcome.notes.append(f"weft's ratios of the {len(ratios)} rounds: {', '.join(f'{r:.3f}' for r in ratios)}; MB/s are of each direction")
        outcome.judge(statistics.median(ratios) >= _LEAST)
    return outcome


def _take_turns(settings: VerbsSettings, turns: dict[str, Callable[[], float]], needed: list[str], outcome: Outcome) -> dict[str, list[float]]:
    """There and back, since the load of a computer drifts. A yardstick that is only shown may fail."""
    values = {what: [] for what in turns}
    for number in range(settings.rounds):
        for what in list(turns)[::1 if number % 2 == 0 else -1]:
            try:
                values[what].append(turns[what]())
            except MachineError as error:
                if what in needed:
                    raise
                outcome.notes.append(f"{what}: left out in round {number + 1}: {str(error).splitlines()[-1][:200]}")
    return values


def _typical_ratio(values: list[float], yardstick: list[float]) -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(value / other for value, other in zip(values, yardstick, strict=True))


def _rate(settings: VerbsSettings, cluster: Cluster, outcome: Outcome, program: str, planes: int, size: int, options: list[str]) -> float:
    """MB/s in each direction."""
    count = max(5, (settings.megabytes << 20) // planes // size)
    words = cluster.check(0, [_SCRIPT, program, str(planes), str(size), str(count), *options], _LIMIT_S)
    measured = json.loads(words.splitlines()[-1])
    if measured["bytes_per_payload"] > _MUCH_SENT_AGAIN:
        outcome.notes.append(f"{program}, {size >> 10} KiB: {measured['bytes_per_payload']:.2f} bytes went for each byte of payload")
    return measured["bytes_per_s"] / 1e6


def _weft_rate(settings: VerbsSettings, cluster: Cluster, planes: int, outcome: Outcome) -> float:
    message = str(MESSAGE_BYTES * planes)
    iterations = max(5, (settings.megabytes << 20) // int(message))
    arguments = ["sendrecv", "-b", message, "-e", message, "-n", str(iterations), "-w", "2"]
    # Perftest writes no statistics either.
    with EmulatedJob(cluster, settings.weft, arguments, settings.folder, settings.environment, statistics_ms=None) as job:
        job.wait(_LIMIT_S)
        row = job.row()
    if row.wrong != 0:
        outcome.breach(f"weft: wrong elements: {row.wrong}")
    return row.gigabytes_per_s * 1e3

"""What does a transfer over verbs notice when planes are cut under it, lose packets, and come back? Two emulated machines.

Two accounts are kept: Weft's own counters, and the kernel's byte counters of the receiving host's NICs, sampled inside by a
program that knows nothing of Weft. Limits are five times those of real machines, since the emulated ones are slow.
"""

import random
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from machines import Cluster, Command
from netfabric.byte_samples import ByteSamples

from .emulated_job import EmulatedJob
from .outcome import Outcome
from .verbs_case import MESSAGE_BYTES, VerbsSettings

WIDER = 5
_STALL_MS, _ERROR_S, _RETURN_S = WIDER * 20.0, WIDER * 2.0, WIDER * 1.0
_IN_USE_BYTES = 2**20  # more than probes and acknowledgements: a plane that carries this carries chunks
_SAMPLES_S = 0.01
_LIMIT_S = 600
_BOOT_S = 300
# What a path's silence means has to be told apart from that of machines which share a few processors.
_ENVIRONMENT = {"WEFT_TIMEOUT_MS": str(WIDER * 1800), "WEFT_PATH_TIMEOUT_MS": "200", "WEFT_CONNECT_TIMEOUT_MS": "120000",
                "WEFT_PATHS_PER_PLANE": "2"}
# How long a cut plane holds a chunk up is asked of Weft as it comes, where round trips are short enough to be judged: a path is
# left after two of them at the least, and with megabytes under way in such a machine each takes a tenth of a second. Small chunks
# also keep all planes in use, whose rates differ from moment to moment as the machines' processors are shared.
_SPREAD = {"WEFT_CHUNK_BYTES": "64K"}
_SPREAD_MESSAGE_BYTES = 512 << 10
_EAGER = _SPREAD | {"WEFT_PATH_TIMEOUT_MS": "20"}


def cut_plane(settings: VerbsSettings) -> Outcome:
    outcome = Outcome(target=f"one plane cut in mid-transfer of messages of {_SPREAD_MESSAGE_BYTES >> 10} KiB: stall of at most "
                             f"{_STALL_MS:.0f} ms, no error, no wrong byte", notes=[_told(_EAGER)])
    chance = random.Random(settings.seed)
    with _machines(settings) as cluster:
        iterations = _iterations_for(settings, cluster, 8, _EAGER, _SPREAD_MESSAGE_BYTES)
        for how in ("silent", "link"):
            stalls, silences, ordinary, unused = [], [], [], 0
            for _ in range(settings.rounds if settings.weft else 0):
                with _job(settings, cluster, iterations, _EAGER, _SPREAD_MESSAGE_BYTES) as job, GuestCounters(cluster, 1, settings.planes) as counters:
                    _wait_for_traffic(settings, counters, job)
                    plane = chance.randrange(settings.planes)
                    cluster.plane(plane).cut(how, 1 if how == "link" else None)
                    job.wait(_LIMIT_S)
                    stall = max(job.total("longest_stall_ms"))
                    if stall == 0:
                        unused += 1  # the plane had nothing under way when it was cut
                    else:
                        stalls.append(stall)
                    _check(job, outcome, how)
                cut = counters.last_growth(plane)
                silences.append(1e3 * counters.longest_silence(cut - 0.2, cut + 2))
                ordinary.append(1e3 * counters.longest_silence(cut - 2.2, cut - 0.2))
                cluster.plane(plane).restore()
            if unused:
                outcome.notes.append(f"{how}: {unused} of {settings.rounds} cuts hit a plane on which no chunk was under way")
            if stalls:
                outcome.add(f"{how}: stall by Weft's counters", "ms", stalls)
                outcome.add(f"{how}: longest silence of all planes, cut", "ms", silences)
                outcome.add(f"{how}: longest silence of all planes, before", "ms", ordinary)
                outcome.judge(statistics.median(stalls) <= _STALL_MS)
    return outcome


def lossy_plane(settings: VerbsSettings) -> Outcome:
    outcome = Outcome(target="1 % of one plane's packets lost: no error, no wrong byte", notes=[_told()])
    healthy, lossy, failures = [], [], []
    with _machines(settings) as cluster:
        iterations = _iterations_for(settings, cluster, 6)
        for _ in range(settings.rounds if settings.weft else 0):
            for rates, share in ((healthy, None), (lossy, "1%")):
                if share:
                    cluster.plane(1).netem("loss", share)
                with _job(settings, cluster, iterations) as job:
                    job.wait(_LIMIT_S)
                    if _check(job, outcome, f"loss {share}"):
                        rates.append(job.row().gigabytes_per_s * 1e3)
                    if share:
                        failures.append(sum(job.total("failures")))
            cluster.plane(1).restore()
    if healthy and len(healthy) == len(lossy):
        outcome.add("healthy planes", "MB/s", healthy, 1.0)
        outcome.add("1 % lost on one plane", "MB/s", lossy, statistics.median(a / b for a, b in zip(lossy, healthy)))
        outcome.add("paths that failed, both ends", "", failures)
        outcome.judge(not outcome.broken)
    return outcome


def restored_plane(settings: VerbsSettings) -> Outcome:
    outcome = Outcome(target=f"a plane down for {settings.down_s:g} s: carries data again within {_RETURN_S:g} s of its return", notes=[_told(_SPREAD)])
    chance = random.Random(settings.seed)
    times = []
    with _machines(settings) as cluster:
        iterations = _iterations_for(settings, cluster, settings.down_s + 14, _SPREAD, _SPREAD_MESSAGE_BYTES)
        for _ in range(settings.rounds if settings.weft else 0):
            with _job(settings, cluster, iterations, _SPREAD, _SPREAD_MESSAGE_BYTES) as job, GuestCounters(cluster, 1, settings.planes) as counters:
                _wait_for_traffic(settings, counters, job)
                plane = chance.randrange(settings.planes)
                cluster.plane(plane).cut("down", 0)
                time.sleep(settings.down_s)
                cluster.plane(plane).restore()
                job.look()
                counters.look()
                restored = counters.samples[-1].time_s
                job.wait(_LIMIT_S)
                _check(job, outcome, "down")
            back = counters.first_growth(plane, restored, _IN_USE_BYTES)
            if back is None and counters.last_traffic() < restored + 2 * _RETURN_S:
                outcome.notes.append("a transfer was over too soon after the plane's return to say anything")
            elif back is None:
                outcome.breach(f"plane {plane} carried nothing any more")
            else:
                times.append(back - restored)
    if times:
        outcome.add(f"from the restoring to {_IN_USE_BYTES >> 20} MiB carried", "s", times)
        outcome.judge(statistics.median(times) <= _RETURN_S)
    return outcome


def cut_all(settings: VerbsSettings) -> Outcome:
    outcome = Outcome(target=f"every plane cut: within {_ERROR_S:g} s an error that names device, port, peer and path", notes=[_told()])
    times = []
    with _machines(settings) as cluster:
        iterations = _iterations_for(settings, cluster, 60)
        for _ in range(settings.rounds if settings.weft else 0):
            with _job(settings, cluster, iterations) as job, GuestCounters(cluster, 1, settings.planes) as counters:
                _wait_for_traffic(settings, counters, job)
                for plane in range(settings.planes):
                    cluster.plane(plane).cut("silent")
                cut = time.monotonic()
                statuses = _wait_for_errors(job, times, cut)
                for rank, status in enumerate(statuses):
                    errors = [line for line in job.words(rank).splitlines() if _names_everything(line)]
                    if status == 0 or not errors:
                        outcome.breach(f"rank {rank}: status {status}, no such error;{job.last_words()}")
                    elif rank == 0 and len(times) <= 2:
                        outcome.notes.append(f"for example: {errors[0]}")
            for plane in range(settings.planes):
                cluster.plane(plane).restore()
    if times:
        outcome.add("from the cut to the end of the rank", "s", times)
        outcome.judge(max(times) <= _ERROR_S)
    return outcome


# --- the machines and what runs in them -------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    time_s: float  # of the guest's clock
    received_bytes: tuple[int, ...]  # by plane


@dataclass
class GuestCounters(ByteSamples):
    """Byte counters of one host's NICs, while it is entered."""
    cluster: Cluster
    host: int
    planes: int
    samples: list[Sample] = field(default_factory=list)
    _command: Command | None = None
    _rest: bytes = b""

    def __enter__(self) -> "GuestCounters":
        script = str(Path(__file__).resolve().parent / "guest_counters.py")
        self._command = self.cluster.run(self.host, ["python3", script, str(self.planes), str(_SAMPLES_S)],
                                         {"PATH": "/usr/local/bin:/usr/bin:/bin"})
        return self

    def __exit__(self, *_) -> None:
        self.look()
        if self._command.status is None:
            self._command.signal("KILL")
        self.look()

    def look(self) -> None:
        *lines, self._rest = (self._rest + self._command.new_output()).split(b"\n")
        for line in lines:
            fields = line.split()
            if len(fields) == 1 + self.planes:
                self.samples.append(Sample(float(fields[0]), tuple(map(int, fields[1:]))))

    def last_growth(self, plane: int) -> float:
        """When a plane brought something for the last time."""
        growths = [b.time_s for a, b in zip(self.samples, self.samples[1:]) if b.received_bytes[plane] - a.received_bytes[plane] > 2**16]
        return growths[-1] if growths else self.samples[-1].time_s

    def last_traffic(self) -> float:
        """When any plane brought something for the last time."""
        growths = [b.time_s for a, b in zip(self.samples, self.samples[1:]) if sum(b.received_bytes) - sum(a.received_bytes) > 2**16]
        return growths[-1] if growths else self.samples[0].time_s


def _machines(settings: VerbsSettings) -> Cluster:
    return Cluster(2, settings.planes, writable=[settings.folder], boot_limit_s=_BOOT_S)


def _told(more: dict[str, str] | None = None) -> str:
    settings = " ".join(f"{name}={value}" for name, value in (_ENVIRONMENT | (more or {})).items())
    return f"emulated machines: limits are {WIDER} times as wide as real ones'; {settings}"


def _job(settings: VerbsSettings, cluster: Cluster, iterations: int, more: dict[str, str] | None = None,
         message_bytes: int = MESSAGE_BYTES) -> EmulatedJob:
    arguments = ["sendrecv", "-b", str(message_bytes), "-e", str(message_bytes), "-n", str(iterations), "-w", "1"]
    # The counters are read when the ranks have ended.
    return EmulatedJob(cluster, settings.weft, arguments, settings.folder, _ENVIRONMENT | (more or {}) | settings.environment,
                       statistics_ms=0)


def _iterations_for(settings: VerbsSettings, cluster: Cluster, seconds: float, more: dict[str, str] | None = None,
                    message_bytes: int = MESSAGE_BYTES) -> int:
    """Nobody limits the planes' rate, so how many messages fill the time is tried."""
    if not settings.weft:
        return 0
    tried = 6 * MESSAGE_BYTES // message_bytes
    with _job(settings, cluster, tried, more, message_bytes) as job:
        job.wait(_LIMIT_S)
        return max(tried, round(seconds * 1e6 / job.row().time_us))


def _check(job: EmulatedJob, outcome: Outcome, what: str) -> bool:
    """Every rank ended well, and what it received was right."""
    if any(rank.status != 0 for rank in job.ranks):
        outcome.breach(f"{what}: ranks ended with {[rank.status for rank in job.ranks]};{job.last_words()}")
        return False
    if job.row().wrong != 0:
        outcome.breach(f"{what}: wrong elements: {job.row().wrong}")
        return False
    return True


def _wait_for_traffic(settings: VerbsSettings, counters: GuestCounters, job: EmulatedJob) -> None:
    """Until every plane has carried data for a while."""
    def flows() -> bool:
        counters.look()
        if not counters.samples:
            return False
        first, last = counters.samples[0].received_bytes, counters.samples[-1].received_bytes
        return all(b - a > _IN_USE_BYTES for a, b in zip(first, last))

    job.wait_until(flows, 120, "every plane carries data")
    until = time.monotonic() + 2.5
    job.wait_until(lambda: counters.look() or time.monotonic() > until, 120, "data flows for a while")


def _wait_for_errors(job: EmulatedJob, times: list[float], cut: float) -> list[int | None]:
    ended: dict[int, float] = {}
    limit = time.monotonic() + 4 * _ERROR_S
    while len(ended) < len(job.ranks) and time.monotonic() < limit:
        job.look()
        for number, rank in enumerate(job.ranks):
            if rank.status is not None:
                ended.setdefault(number, time.monotonic() - cut)
        time.sleep(0.02)
    times.extend(ended.values())
    return [rank.status for rank in job.ranks]


def _names_everything(line: str) -> bool:
    """Device and port (rxe0:1), peer (an address), and path."""
    return all(re.search(pattern, line) for pattern in (r"\brxe\d:1\b", r"10\.0\.\d+\.\d+|fd00:", r"\bpath\b"))

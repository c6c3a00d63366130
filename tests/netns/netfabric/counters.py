"""What the kernel says each plane has carried, sampled by a thread: an account that owes nothing to Weft's own."""

import threading
import time
from dataclasses import dataclass

from .byte_samples import ByteSamples
from .fabric import Fabric


@dataclass(frozen=True)
class Sample:
    time_s: float  # time.monotonic()
    received_bytes: tuple[int, ...]  # by plane
    sent_bytes: tuple[int, ...]


class PlaneCounters(ByteSamples):
    """Samples the byte counters of one host's NICs while it is entered. `samples` may be read at any time."""

    def __init__(self, fabric: Fabric, host: int, interval_s: float = 0.002):
        self._interval_s = interval_s
        self._nics = [plane.nics[host] for plane in fabric.planes]
        self._stop = threading.Event()
        self._table = fabric.inside(host, lambda: open("/proc/thread-self/net/dev", encoding="ascii"))
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> "PlaneCounters":
        self.samples.append(self._read())
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        self._table.close()

    def received_between(self, start_s: float, end_s: float) -> list[int]:
        """Bytes each plane brought to this host in the time given."""
        inside = [s for s in list(self.samples) if start_s <= s.time_s <= end_s]
        if len(inside) < 2:
            return [0] * len(self._nics)
        return [last - first for first, last in zip(inside[0].received_bytes, inside[-1].received_bytes)]

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.samples.append(self._read())

    def _read(self) -> Sample:
        received, sent = {}, {}
        self._table.seek(0)
        now = time.monotonic()
        for line in self._table.readlines()[2:]:
            name, values = line.split(":")
            fields = values.split()
            received[name.strip()], sent[name.strip()] = int(fields[0]), int(fields[8])
        return Sample(now, tuple(received[n] for n in self._nics), tuple(sent[n] for n in self._nics))

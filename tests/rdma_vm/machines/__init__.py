"""Small machines with SoftRoCE devices: see README.md."""

import signal
import sys

from .cluster import Cluster, TimedOut
from .failure import KernelDied, MachineError, NotAvailable
from .kernel import fetch_kernel, find_kernel
from .machine import Command, require_programs
from .plane import Plane

SKIP_EXIT_STATUS = 77


def end_on_signals() -> None:
    """A signal becomes an exception, so that what was made is removed on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


def require_machines(**more_programs: str) -> None:
    """For tests: leaves with the status that ctest counts as skipped where there can be no machines, or where one of
    `more_programs` is missing, which is named with its Debian package.
    """
    end_on_signals()
    try:
        require_programs(more_programs)
        find_kernel()
    except NotAvailable as missing:
        print(f"SKIPPED: {missing}", file=sys.stderr)
        sys.exit(SKIP_EXIT_STATUS)


__all__ = ["Cluster", "Command", "KernelDied", "MachineError", "NotAvailable", "Plane", "SKIP_EXIT_STATUS", "TimedOut",
           "fetch_kernel", "end_on_signals", "require_machines"]

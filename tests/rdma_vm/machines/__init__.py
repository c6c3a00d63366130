"""Small machines with SoftRoCE devices: see README.md."""

import sys

from .cluster import Cluster, TimedOut
from .failure import MachineError, NotAvailable
from .kernel import fetch_kernel, find_kernel
from .machine import Command, require_programs
from .plane import Plane

SKIP_EXIT_STATUS = 77


def require_machines(**more_programs: str) -> None:
    """For tests: leaves with the status that ctest counts as skipped where there can be no machines, or where one of
    `more_programs` is missing, which is named with its Debian package.
    """
    try:
        require_programs(more_programs)
        find_kernel()
    except NotAvailable as missing:
        print(f"SKIPPED: {missing}", file=sys.stderr)
        sys.exit(SKIP_EXIT_STATUS)


__all__ = ["Cluster", "Command", "MachineError", "NotAvailable", "Plane", "SKIP_EXIT_STATUS", "TimedOut", "fetch_kernel",
           "require_machines"]

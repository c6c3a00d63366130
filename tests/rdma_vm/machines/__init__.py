"""Small machines with SoftRoCE devices: see README.md."""

from .cluster import Cluster, TimedOut
from .failure import MachineError, NotAvailable
from .kernel import fetch_kernel
from .machine import Command
from .plane import Plane

SKIP_EXIT_STATUS = 77

__all__ = ["Cluster", "Command", "MachineError", "NotAvailable", "Plane", "SKIP_EXIT_STATUS", "TimedOut", "fetch_kernel"]

"""Hosts and planes made of network namespaces, for tests and benchmarks that need a fabric.

    with Fabric(planes=4, rate="400mbit") as fabric:
        server = fabric.popen(0, ["program", "--listen", fabric.address(0, plane=1)])
        fabric.plane(1).cut("silent")
"""

from .commands import FabricError
from .fabric import Fabric
from .plane import Plane, format_rate, parse_rate
from .privilege import SKIP_EXIT_STATUS, require_privilege

__all__ = ["Fabric", "FabricError", "Plane", "SKIP_EXIT_STATUS", "format_rate", "parse_rate", "require_privilege"]

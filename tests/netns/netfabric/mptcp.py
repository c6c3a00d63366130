"""Tells the kernel's MPTCP which addresses to make subflows of, so that one MPTCP connection uses every plane."""

from .commands import ip_batch


def spread_over_planes(fabric, listener: int = 1) -> None:
    """The host that listens announces its address on each plane; the others answer each with a subflow, for which the
    routing table picks their own address on the same plane. (Endpoints of kind "subflow" would pair them with the
    address that was connected to, across planes.) Listen on the wildcard address, since joins come to every address,
    and connect to plane 0's, whose subflow is the first.
    """
    limit = min(8, max(1, len(fabric.planes) - 1))  # 8 is the kernel's own
    for host, namespace in enumerate(fabric.hosts):
        announces = host == listener
        lines = [f"mptcp limits set subflows {limit} add_addr_accepted {0 if announces else limit}"]
        for plane in fabric.planes[1 : 1 + limit] if announces else []:
            lines.append(f"mptcp endpoint add {fabric.address(host, plane.index)} dev {plane.nics[host]} signal")
        ip_batch(namespace, lines)

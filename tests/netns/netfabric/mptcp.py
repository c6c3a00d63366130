"""Tells the kernel's MPTCP which addresses to make subflows of, so that one MPTCP connection uses every plane."""

from .commands import ip_batch


def spread_over_planes(fabric) -> None:
    """The side that listens announces its address on each plane; the side that connects answers each with a subflow,
    for which the routing table picks its own address on the same plane. (Endpoints of kind "subflow" would pair them
    with the address that was connected to, across planes.) Connect to plane 0's address: its subflow is the first.
    """
    limit = min(8, max(1, len(fabric.planes) - 1))  # 8 is the kernel's own
    for host, namespace in enumerate(fabric.hosts):
        lines = [f"mptcp limits set subflows {limit} add_addr_accepted {limit}"]
        for plane in fabric.planes[1:]:
            lines.append(f"mptcp endpoint add {fabric.address(host, plane.index)} dev {plane.nic} signal")
        ip_batch(namespace, lines)

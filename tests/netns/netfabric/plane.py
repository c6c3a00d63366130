"""One plane: an own network from host to host, as one switch with a port for each host's NIC.

             host 0                 switch (a namespace)                host 1
        p2 ---- tbf ---->  s2h0 |                      | s2h1  <---- tbf ---- p2
           <---- tbf ----       |    bridge b2         |       ---- tbf ---->

A rate is a tbf at both ends of each cable. A cable that is cut or slowed is cut or slowed at the switch, so that
the host learns no more than it would from a real one:

    link     the switch's port goes down: the host's NIC loses its carrier, as when its cable is pulled; the other
             hosts see nothing, unless theirs are cut as well
    silent   the switch drops every frame of that port; carrier stays up and nobody is told
    to/from  as silent, but only what goes to the host or comes from it is dropped: a failure in one way
"""

import re

from .commands import FabricError, ip_batch, run, tc_batch

CUTS = ("link", "silent", "to", "from")
_DROP_EVERYTHING = "'1,6 0 0 2'"  # classic BPF: return TC_ACT_SHOT. No act_gact, iptables or nft is needed for it.
_UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}


def parse_rate(text: str | int) -> int:
    """Bits a second from what tc would understand: 400mbit, 2.5gbit."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"([0-9.]+)([kmg]?bit)", text.strip().lower())
    if not match:
        raise FabricError(f"rate {text!r} is not a number with bit, kbit, mbit or gbit behind it, such as 400mbit")
    return int(float(match[1]) * _UNITS[match[2]])


def format_rate(bits_per_s: float) -> str:
    return f"{bits_per_s / 1e6:g}mbit"


class Plane:
    """Its methods act on the kernel at once and keep no state, so that another process may call them as well."""

    def __init__(self, index: int, switch: str, hosts: list[str], nics: list[str], mtu: int):
        self.index, self.switch, self.hosts, self.nics, self.mtu = index, switch, hosts, nics, mtu

    def port(self, host: int) -> str:
        return f"s{self.index}h{host}"

    def ipv4(self, host: int) -> str:
        return f"10.0.{self.index}.{host + 1}"

    def ipv6(self, host: int) -> str:
        return f"fd00:0:0:{self.index}::{host + 1:x}"

    def create(self, families: str) -> None:
        """`families` is "4", "6" or "46"."""
        bridge = f"b{self.index}"
        lines = [f"link add {bridge} mtu {self.mtu} type bridge", f"link set {bridge} up"]
        for host, name in enumerate(self.hosts):
            lines += [f"link add {self.port(host)} mtu {self.mtu} type veth "
                      f"peer name {self.nics[host]} mtu {self.mtu} netns {name}",
                      f"link set {self.port(host)} master {bridge}", f"link set {self.port(host)} up"]
        ip_batch(self.switch, lines)
        for host, name in enumerate(self.hosts):
            addresses = []
            if "4" in families:
                addresses.append(f"addr add {self.ipv4(host)}/24 dev {self.nics[host]}")
            if "6" in families:
                addresses.append(f"addr add {self.ipv6(host)}/64 dev {self.nics[host]} nodad")
            ip_batch(name, [f"link set {self.nics[host]} up"] + addresses)
            tc_batch(self.switch, [f"qdisc add dev {self.port(host)} clsact"])

    def set_rate(self, bits_per_s: int, host: int | None = None) -> None:
        """Limits both directions of one host's cable, or of all. Works in mid-run; 0 takes the limit away."""
        for h in self._chosen(host):
            for namespace, device in ((self.hosts[h], self.nics[h]), (self.switch, self.port(h))):
                if bits_per_s:
                    tc_batch(namespace, [f"qdisc replace dev {device} root {tbf(bits_per_s)}"])
                elif "tbf" in run("tc", "-n", namespace, "qdisc", "show", "dev", device, "root"):
                    tc_batch(namespace, [f"qdisc del dev {device} root"])

    def cut(self, how: str = "silent", host: int | None = None) -> None:
        """Cuts the cable of one host, or of all. Cutting what is cut already adds to it."""
        cut_together([self], how, host)

    def restore(self, host: int | None = None) -> None:
        """Undoes every cut() of one host's cable, or of all; the rate stays as it is."""
        ports = [self.port(h) for h in self._chosen(host)]
        # A new clsact has no filter.
        tc_batch(self.switch, [f"qdisc {verb} dev {port} clsact" for port in ports for verb in ("del", "add")])
        ip_batch(self.switch, [f"link set {port} up" for port in ports])

    def _chosen(self, host: int | None) -> list[int]:
        if host is None:
            return list(range(len(self.hosts)))
        if not 0 <= host < len(self.hosts):
            raise FabricError(f"host {host} does not exist: there are hosts 0 to {len(self.hosts) - 1}")
        return [host]


def cut_together(planes: list[Plane], how: str, host: int | None = None) -> None:
    """As cut() of each, within a few milliseconds of each other."""
    if how not in CUTS:
        raise FabricError(f"a plane can be cut by {', '.join(CUTS)}; {how!r} is none of them")
    hooks = {"link": (), "silent": ("ingress", "egress"), "from": ("ingress",), "to": ("egress",)}[how]
    for switch in {plane.switch for plane in planes}:
        ports = [plane.port(h) for plane in planes if plane.switch == switch for h in plane._chosen(host)]
        if how == "link":
            ip_batch(switch, [f"link set {port} down" for port in ports])
        tc_batch(switch, [f"filter replace dev {port} {hook} pref 1 handle 1 bpf bytecode {_DROP_EVERYTHING} da"
                          for port in ports for hook in hooks])


def tbf(bits_per_s: int) -> str:
    """The burst holds one GSO packet of 64 KiB with room, or 1 ms: a smaller one makes the kernel cut each GSO packet
    into frames one by one, and below the timer's grain it loses rate. The queue behind it holds 8 ms or 512 KiB: TCP
    keeps its queue short at the host's own NIC by itself, and a port that cannot take a few windows drops for no gain.
    """
    burst_bytes = max(128 * 1024, bits_per_s // 8 // 1000)
    queue_bytes = max(512 * 1024, bits_per_s // 1000)
    return f"tbf rate {bits_per_s}bit burst {burst_bytes}b limit {burst_bytes + queue_bytes}b"

"""One plane of a cluster: cut, slowed and restored from outside, as on the fabric of tests/netns."""

from .failure import MachineError

CUTS = ("silent", "to", "from", "roce", "link", "down")


class Plane:
    """Made by Cluster.plane()."""

    def __init__(self, cluster, index: int):
        self._cluster = cluster
        self.index = index

    def cut(self, how: str = "silent", host: int | None = None) -> None:
        """silent: frames are lost in both directions, and nobody is told
        to, from: only those to, or from, this host are lost
        roce: only RoCE's are lost, as by a switch's rule, and TCP goes on
        link: this host's cable is pulled (both hosts', if none is named): its device loses the carrier
        down: this host's device is shut, as by an administrator
        """
        if how not in CUTS:
            raise MachineError(f"a plane is cut in one of the ways {', '.join(CUTS)}, not {how!r}")
        if how in ("to", "from") and host is None:
            raise MachineError(f"a cut {how!r} needs a host")
        hosts = (0, 1) if host is None else (host,)
        if how == "link":
            self._set_carrier(hosts, False)
        elif how == "down":
            self._on_hosts(hosts, ["down"])
            # A shut device takes nothing out of its ring: qemu would keep frames for it, and hold up the sender's.
            if len(self._cluster.machines) == 2:
                self._set_carrier(hosts, False)
        elif how == "to":
            self._on_hosts((1 - host,), ["cut"])
        elif how == "from":
            self._on_hosts((host,), ["cut"])
        elif how == "roce":
            self._on_hosts((0, 1), ["cut-roce"])
        else:
            # With two hosts on a plane, what one of them cannot send the other cannot receive.
            self._on_hosts((0, 1), ["cut"])

    def netem(self, *arguments: str, host: int | None = None) -> None:
        """What this host sends (both hosts, if none is named) suffers what tc-netem(8) can do: netem("loss", "1%")."""
        self._on_hosts((0, 1) if host is None else (host,), ["netem", *arguments])

    def restore(self) -> None:
        self._set_carrier((0, 1), True)
        self._on_hosts((0, 1), ["restore"])

    def _set_carrier(self, hosts, on: bool) -> None:
        if len(self._cluster.machines) == 2:
            for host in hosts:
                self._cluster.machines[host].set_carrier(f"net{self.index}", on)
        elif not on:
            raise MachineError("the planes of a single machine have no cable to pull; there are two ends of one wire")

    def _on_hosts(self, hosts, verb: list[str]) -> None:
        commands = []
        for host in hosts:
            single = len(self._cluster.machines) == 1
            end = f"{'ab'[host]}{self.index}" if single else str(self.index)
            commands.append(self._cluster.run(0 if single else host, ["plane", end, *verb], folder="/"))
        output = []
        status = self._cluster.wait(commands, 30, lambda _, data: output.append(data.decode(errors="replace")))
        if status != 0:
            raise MachineError(f"plane {self.index}: {' '.join(verb)} failed: {''.join(output).strip()}")

"""A whole fabric: hosts, a switch for each plane, a management network; made, described, and removed without a trace.

Everything has the fabric's name in its own name: the namespaces weft-NAME-h0, weft-NAME-h1, ... and weft-NAME-switch,
which hold all devices, and the description /run/weft-fabric/NAME.json, which lets another process open the fabric.
Nothing else on the machine is touched. Removal ends the processes that still run in these namespaces, and no other.
"""

import ctypes
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from . import commands, mptcp
from .commands import FabricError
from .plane import Plane, cut_together, parse_rate

MANAGEMENT_NIC = "m0"  # unlimited, never cut: where jobs find each other, as on a real cluster
_DESCRIPTIONS = Path("/run/weft-fabric")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
Result = TypeVar("Result")

# Set for every program that is compared on the fabric. reno is the one that every kernel lets a namespace choose (any
# other must be in the machine's own tcp_allowed_congestion_control, which is not ours to change), so that results
# of two machines can be compared; at these round-trip times cubic follows it anyway.
CONGESTION_CONTROL = "reno"


_HOST_SYSCTLS = {
    # What a new connection learned about a plane must not depend on what ran before it.
    "net.ipv4.tcp_no_metrics_save": "1",
    # Planes are separate networks: a host must not answer for one plane's address on another.
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.arp_announce": "2",
}


class Fabric:
    """Use it as a context manager, or call up() and down(). Its attributes never change after up()."""

    def __init__(self, planes: int = 4, rate: str | int = "400mbit", hosts: int = 2, name: str | None = None,
                 families: str = "46", mtu: int = 9000, congestion_control: str = CONGESTION_CONTROL,
                 crossed: bool = False):
        """`crossed`: odd hosts name their NICs the other way round, so that equal names are on different planes."""
        if not 1 <= planes <= 64 or not 2 <= hosts <= 64:
            raise FabricError(f"a fabric has 1 to 64 planes and 2 to 64 hosts, not {planes} and {hosts}")
        if families not in ("4", "6", "46"):
            raise FabricError(f"families are 4, 6 or 46, not {families!r}")
        self.name = name or f"{os.getpid()}-{secrets.token_hex(3)}"
        if not self.name.replace("-", "").isalnum():
            raise FabricError(f"a fabric's name is made of letters, digits and dashes, unlike {self.name!r}")
        self.rate = parse_rate(rate)
        self.families, self.mtu, self.congestion_control = families, mtu, congestion_control
        self.hosts = [f"weft-{self.name}-h{h}" for h in range(hosts)]
        self.switch = f"weft-{self.name}-switch"
        self.crossed = crossed
        self.planes = []
        for p in range(planes):
            nics = [f"p{planes - 1 - p if crossed and h % 2 else p}" for h in range(hosts)]
            self.planes.append(Plane(p, self.switch, self.hosts, nics, mtu))
        self._old_handlers = {}

    # --- life -------------------------------------------------------------------------------------------------

    def up(self) -> "Fabric":
        if self._description().exists():
            raise FabricError(f"a fabric named {self.name} is up already; `fabric down {self.name}` removes it")
        self._describe()
        try:
            for namespace in self.hosts + [self.switch]:
                commands.run("ip", "netns", "add", namespace)
            self._set_up_hosts()
            for plane in self.planes:
                plane.create(self.families)
                plane.set_rate(self.rate)
            self._hasten_address_resolution()
            self._wait_until_reachable()
            mptcp.spread_over_planes(self)
        except BaseException:
            self.down()
            raise
        return self

    def down(self) -> None:
        """Removes what is there, however little of it was made; can be called twice."""
        present = {line.split()[0] for line in commands.run("ip", "netns", "list").splitlines() if line}
        for namespace in self.hosts + [self.switch]:
            if namespace in present:
                _end_processes(namespace)
                commands.run("ip", "netns", "delete", namespace)
        self._description().unlink(missing_ok=True)

    def __enter__(self) -> "Fabric":
        # A signal becomes an exception, so that the namespaces are removed on the way out.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._old_handlers[number] = signal.signal(number, _leave)
        try:
            return self.up()
        except BaseException:
            self._restore_handlers()
            raise

    def __exit__(self, *_) -> None:
        # A second signal must not stop the removal half way.
        for number in self._old_handlers:
            signal.signal(number, signal.SIG_IGN)
        try:
            self.down()
        finally:
            self._restore_handlers()

    @classmethod
    def open(cls, name: str) -> "Fabric":
        """A fabric that another process has made."""
        try:
            fields = json.loads((_DESCRIPTIONS / f"{name}.json").read_text())
        except FileNotFoundError as missing:
            raise FabricError(f"no fabric named {name} is up; `fabric list` shows those that are") from missing
        fields.pop("owner_pid")
        return cls(**fields)

    @staticmethod
    def all_up() -> list[dict]:
        """The descriptions of all fabrics, each with `orphan`: whether the process that made it has gone."""
        found = []
        for file in sorted(_DESCRIPTIONS.glob("*.json")):
            fields = json.loads(file.read_text())
            owner = fields["owner_pid"]
            found.append(fields | {"orphan": owner != 0 and not Path(f"/proc/{owner}").exists()})
        return found

    # --- use --------------------------------------------------------------------------------------------------

    def plane(self, index: int) -> Plane:
        if not 0 <= index < len(self.planes):
            raise FabricError(f"plane {index} does not exist: there are planes 0 to {len(self.planes) - 1}")
        return self.planes[index]

    def cut_all(self, how: str = "silent") -> None:
        """Cuts every plane, within a few milliseconds of each other."""
        cut_together(self.planes, how)

    def address(self, host: int, plane: int | None = None) -> str:
        """A host's address on a plane, IPv4 where it has one; without a plane, on the management network."""
        if plane is None:
            return f"10.255.0.{host + 1}"
        return self.plane(plane).ipv4(host) if "4" in self.families else self.plane(plane).ipv6(host)

    def popen(self, host: int, argv: list[str], **options) -> subprocess.Popen:
        """Starts a program on a host. It is that program itself that the Popen names, no wrapper."""
        return subprocess.Popen(["ip", "netns", "exec", self.hosts[host], *argv], **options)

    def inside(self, host: int, function: Callable[[], Result]) -> Result:
        """Calls a function on a host. A socket that it makes stays that host's; so does /proc/thread-self/net."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: _enter(self.hosts[host]) or function()).result()

    # --- inside -----------------------------------------------------------------------------------------------

    def _description(self) -> Path:
        return _DESCRIPTIONS / f"{self.name}.json"

    def _describe(self) -> None:
        _DESCRIPTIONS.mkdir(exist_ok=True)
        self._description().write_text(json.dumps({
            "name": self.name, "planes": len(self.planes), "rate": self.rate, "hosts": len(self.hosts),
            "families": self.families, "mtu": self.mtu, "congestion_control": self.congestion_control,
            "crossed": self.crossed, "owner_pid": os.getpid()}))

    def disown(self) -> None:
        """The fabric stays when this process ends and is nobody's orphan: what `fabric up` does."""
        fields = json.loads(self._description().read_text())
        self._description().write_text(json.dumps(fields | {"owner_pid": 0}))

    def _set_up_hosts(self) -> None:
        lines = ["link set lo up", f"link add mgmt mtu {self.mtu} type bridge", "link set mgmt up"]
        for h, name in enumerate(self.hosts):
            lines += [f"link add mh{h} mtu {self.mtu} type veth peer name {MANAGEMENT_NIC} mtu {self.mtu} netns {name}",
                      f"link set mh{h} master mgmt", f"link set mh{h} up"]
        commands.ip_batch(self.switch, lines)
        # The switch is layer 2 only: with IPv6 on, its bridges would speak up on the planes.
        commands.write_sysctls(self.switch, {"net.ipv6.conf.all.disable_ipv6": "1"})
        for h, name in enumerate(self.hosts):
            self._set_congestion_control(name)
            commands.write_sysctls(name, _HOST_SYSCTLS)
            commands.ip_batch(name, ["link set lo up", f"link set {MANAGEMENT_NIC} up",
                                     f"addr add {self.address(h)}/24 dev {MANAGEMENT_NIC}"])

    def _hasten_address_resolution(self) -> None:
        """An address that was asked for while its plane was cut is asked for again every 100 ms. With the kernel's
        own second, the time in which a plane comes back would be ARP's.
        """
        for h, name in enumerate(self.hosts):
            commands.write_sysctls(name, {f"net.{ip}.neigh.{plane.nics[h]}.retrans_time_ms": "100"
                                          for plane in self.planes for ip in ("ipv4", "ipv6")})

    def _set_congestion_control(self, namespace: str) -> None:
        try:
            commands.write_sysctls(namespace, {"net.ipv4.tcp_congestion_control": self.congestion_control})
        except FabricError as refused:
            raise FabricError(f"this machine lets namespaces have no congestion control {self.congestion_control!r}; "
                              "/proc/sys/net/ipv4/tcp_allowed_congestion_control lists what it does") from refused

    def _wait_until_reachable(self) -> None:
        """A port forwards when its bridge has seen its carrier, which the kernel may tell late."""
        deadline = time.monotonic() + 10
        waiting = {f"s{p.index}h{h}" for p in self.planes for h in range(len(self.hosts))}
        waiting |= {f"mh{h}" for h in range(len(self.hosts))}
        while waiting:
            ports = json.loads(commands.run("bridge", "-n", self.switch, "-j", "link", "show"))
            waiting -= {port["ifname"] for port in ports if port.get("state") == "forwarding"}
            if waiting and time.monotonic() > deadline:
                raise FabricError(f"ports {', '.join(sorted(waiting))} of {self.switch} do not forward after 10 s")
            if waiting:
                time.sleep(0.02)

    def _restore_handlers(self) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers = {}


def _enter(namespace: str) -> None:
    """Moves the calling thread into a namespace, for good."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise FabricError(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def _leave(number: int, _frame) -> None:
    raise SystemExit(128 + number)


def _end_processes(namespace: str) -> None:
    """Ends what runs in one of our namespaces: it would keep the devices in being after the name has gone."""
    for attempt in range(100):
        pids = [int(word) for word in commands.run("ip", "netns", "pids", namespace).split()]
        pids = [pid for pid in pids if pid != os.getpid() and not _is_zombie(pid)]
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM if attempt == 0 else signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True

"""One machine, or two joined by planes: started together, given commands, cut apart, removed without a trace.

    with Cluster(machines=2, planes=4) as cluster:
        commands = cluster.run_everywhere(["build/dev/tests/verbs/some_test"])
        cluster.plane(1).cut("silent")
        cluster.wait(commands, timeout_s=60)

All that it writes is one folder in the computer's temporary folder; it disappears, as the machines do, when the process
that made it ends, however it ends.
"""

import os
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import initramfs, kernel
from .failure import MachineError
from .machine import Command, Hardware, Machine, require_programs
from .plane import Plane
from .timestamp_counter import counter_khz

MASTER_PORT = 29500
ROOT = Path(__file__).resolve().parents[3]  # of the source tree
_OUTPUT_INTERVAL_S = 0.05


class TimedOut(MachineError):
    """The commands, or the boot, took longer than they were given."""


class Cluster:
    def __init__(self, machines: int = 1, planes: int = 1, processors: int | None = None,
                 memory_mb: int = 768, mtu: int = 4200, writable: list[Path] = (), shell: bool = False,
                 boot_limit_s: float = 300):
        """`processors`: of each machine; as many as the host has, shared by the machines, unless told. `writable`:
        folders of the host in which commands may write; elsewhere, what they write is lost with the machine.
        """
        if machines not in (1, 2):
            raise MachineError(f"there can be 1 or 2 machines, not {machines}")
        if not 0 <= planes <= 16:
            raise MachineError(f"there can be up to 16 planes, not {planes}")
        here = len(os.sched_getaffinity(0))
        self.hardware = Hardware(processors or max(1, min(4, here) // machines), memory_mb, mtu,
                                 counter_khz())
        self._planes = planes
        self._writable = [Path(path).resolve() for path in writable]
        self._shell = shell
        self._boot_limit_s = boot_limit_s
        self._count = machines
        self._lifeline = None
        self.machines: list[Machine] = []

    # --- life -------------------------------------------------------------------------------------------------

    def up(self) -> "Cluster":
        require_programs()
        chosen = kernel.find_kernel()
        self.folder = Path(tempfile.mkdtemp(prefix="weft-rdma-vm-"))
        self._guard_folder()
        try:
            image = self.folder / "initramfs"
            initramfs.write_initramfs(image, chosen)
            wires = self._lay_wires()
            for index in range(self._count):
                folder = self.folder / f"machine{index}"
                folder.mkdir()
                machine = Machine(index, folder, {
                    "NAME": f"rdma-vm-{index}", "MACHINE": str(index), "MACHINES": str(self._count),
                    "PLANES": str(self._planes), "MTU": str(self.hardware.mtu)})
                self.machines.append(machine)
                machine.start(chosen, image, self.hardware, wires[index], self._visible(), self._writable,
                              self._shell and index == 0)
            self._wait(lambda: all(m.ready for m in self.machines), time.monotonic() + self._boot_limit_s, "boot")
        except BaseException:
            self.down()
            raise
        return self

    def down(self) -> None:
        for machine in self.machines:
            machine.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lifeline is not None:
            self._lifeline.close()

    def __enter__(self) -> "Cluster":
        return self.up()

    def __exit__(self, *_) -> None:
        self.down()

    # --- use --------------------------------------------------------------------------------------------------

    def plane(self, index: int) -> Plane:
        if not 0 <= index < self._planes:
            raise MachineError(f"plane {index} does not exist: there are planes 0 to {self._planes - 1}")
        return Plane(self, index)

    def run(self, machine: int, argv: list[str], environment: dict[str, str] | None = None,
            folder: str | None = None, label: str = "") -> Command:
        """Starts a program in one machine."""
        return self.machines[machine].run(argv, environment or {}, folder or os.getcwd(), label)

    def run_everywhere(self, argv: list[str], ranks_per_machine: int = 1,
                       environment: dict[str, str] | None = None) -> list[Command]:
        """Starts a program as every rank of a job. In a single machine, even ranks are host 0, on one end of the planes,
        and odd ranks are host 1, on the other end: see RDMA_VM_DEVICES.
        """
        world = ranks_per_machine * self._count
        commands = []
        for rank in range(world):
            machine, local = (rank % 2, rank // 2) if self._count == 2 else (0, rank)
            job = {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(local),
                   "LOCAL_WORLD_SIZE": str(ranks_per_machine), "MASTER_PORT": str(MASTER_PORT),
                   "MASTER_ADDR": "10.255.0.1" if self._count == 2 else "127.0.0.1",
                   "RDMA_VM_MACHINES": str(self._count), "RDMA_VM_PLANES": str(self._planes),
                   "RDMA_VM_DEVICES": ",".join(self.device(rank % 2, p) for p in range(self._planes))}
            commands.append(self.run(machine, argv, job | (environment or {}), label=f"{rank}: " if world > 1 else ""))
        return commands

    def device(self, host: int, plane: int) -> str:
        """The name of a host's SoftRoCE device on a plane."""
        return f"rxe{plane}" if self._count == 2 else f"rxe_{'ab'[host]}{plane}"

    @staticmethod
    def address(host: int, plane: int, family: int = 4) -> str:
        return f"10.0.{plane}.{host + 1}" if family == 4 else f"fd00:0:0:{plane}::{host + 1}"

    def wait(self, commands: list[Command], timeout_s: float,
             on_output: Callable[[Command, bytes], None] | None = None, grace_s: float = 10) -> int:
        """Until all have ended; the first exit status that is not 0, in their order, or 0. When one fails, the others,
        which may wait for it for ever, have `grace_s` left.
        """
        limit = time.monotonic() + timeout_s
        failed_at = None

        def take_output() -> None:
            if on_output:
                for command in commands:
                    if data := command.new_output():
                        on_output(command, data)

        def finished() -> bool:
            nonlocal failed_at
            take_output()
            running = [command for command in commands if command.status is None]
            if running and failed_at is None and any(command.status for command in commands):
                failed_at = time.monotonic()
            elif running and failed_at and time.monotonic() > failed_at + grace_s:
                failed_at = float("inf")
                for command in running:
                    command.signal("KILL")
            return not running

        try:
            self._wait(finished, limit, "command")
        finally:
            take_output()
        return next((command.status for command in commands if command.status), 0)

    def check(self, machine: int, argv: list[str], timeout_s: float = 60) -> str:
        """Runs a program to its end and returns what it wrote; an exit status other than 0 is an error."""
        command = self.run(machine, argv)
        output = []
        status = self.wait([command], timeout_s, lambda _, data: output.append(data))
        text = b"".join(output).decode(errors="replace")
        if status != 0:
            raise MachineError(f"`{' '.join(argv)}` in machine {machine} failed with status {status}: {text.strip()}")
        return text

    def wait_for_shell(self) -> None:
        """Until the shell of machine 0 has been left."""
        self._wait(lambda: self.machines[0].shell_left, float("inf"), "shell")

    def keep_logs(self, folder: Path) -> None:
        """Copies what the kernels and qemu said, which would go with the machines."""
        folder.mkdir(parents=True, exist_ok=True)
        for machine in self.machines:
            for name in ("console.log", "qemu.log", "network.log"):
                if (machine.folder / name).exists():
                    shutil.copy(machine.folder / name, folder / f"machine{machine.index}.{name}")

    # --- inside -----------------------------------------------------------------------------------------------

    def _wait(self, finished: Callable[[], bool], limit: float, what: str) -> None:
        with selectors.DefaultSelector() as selector:
            for machine in self.machines:
                for each in machine.sockets():
                    selector.register(each, selectors.EVENT_READ)
            while not finished():
                if time.monotonic() > limit:
                    consoles = "\n".join(m.last_words("console.log", 5) for m in self.machines).strip()
                    raise TimedOut(f"the {what} took too long" + (f"; last on the console:\n{consoles}" if consoles else ""))
                selector.select(_OUTPUT_INTERVAL_S)
                for machine in self.machines:
                    machine.poll()

    def _guard_folder(self) -> None:
        """A shell outside our session waits for us to end, however that comes, and removes the folder."""
        read_end, write_end = os.pipe()
        self._lifeline = os.fdopen(write_end, "wb")
        with os.fdopen(read_end, "rb") as waits_on:
            subprocess.run(["setsid", "--fork", "sh", "-c", 'cat >/dev/null; rm -rf -- "$1"', "sh", str(self.folder)],
                           stdin=waits_on, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def _lay_wires(self) -> list[list[socket.socket]]:
        """For each machine its ends: the planes', then the management network's."""
        if self._count == 1:
            return [[]]
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(self._planes + 1)]
        return [[pair[index] for pair in pairs] for index in range(2)]

    def _visible(self) -> list[Path]:
        """Folders that a machine would not see, for it has a /tmp of its own."""
        wanted = {ROOT, Path.cwd()}
        return sorted(path for path in wanted if path.is_relative_to("/tmp"))

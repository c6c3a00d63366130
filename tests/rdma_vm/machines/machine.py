"""One machine: a qemu process, the folder through which it is given commands, and the serial port through which they are
started. Used by one thread.
"""

import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .failure import KernelDied, MachineError, NotAvailable
from .kernel import Kernel

PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
QEMU = "qemu-system-x86_64"
# The emulated processor does `rep movs` byte by byte: without these flags the kernel and libc copy in wider steps.
_EMULATED_CPU = "max,-erms,-fsrm"
_KERNEL_ARGUMENTS = ("console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check "
                     "random.trust_cpu=on audit=0 lsm= cryptomgr.notests rcupdate.rcu_expedited=1 "
                     "net.ifnames=0 clearcpuid=rep_good maxcpus=1")


def require_programs(more: dict[str, str] | None = None) -> None:
    """`more`: programs besides those that every machine needs, and their packages."""
    if platform.machine() != "x86_64":
        raise NotAvailable(f"the machines have x86 processors and run the host's programs; this is {platform.machine()}")
    # What runs in the machine is looked for where the machine will look.
    for path, needed in ((None, {QEMU: "qemu-system-x86", "busybox": "busybox-static", "setpriv": "util-linux"}),
                         (PROGRAM_PATH, {"rdma": "iproute2", "tc": "iproute2"} | (more or {}))):
        for program, package in needed.items():
            if shutil.which(program, path=path) is None:
                raise NotAvailable(f"{program} is not installed (Debian package {package})")
    if not list(Path("/etc/libibverbs.d").glob("rxe.driver")):
        raise NotAvailable("libibverbs has no driver for SoftRoCE (Debian package ibverbs-providers)")


@dataclass(frozen=True)
class Hardware:
    processors: int
    memory_mb: int
    mtu: int  # of the planes; 4200 holds RoCE's largest packet of 4096 bytes
    counter_khz: int | None  # of the processor's time stamp counter, if known


@dataclass
class Command:
    """A program in a machine."""

    number: int
    machine: "Machine"
    label: str
    status: int | None = None  # its exit status, or 128 + the signal that ended it; None while it runs
    _position: int = field(default=0, repr=False)

    def new_output(self) -> bytes:
        """What it has written since the last call, to stdout and stderr."""
        with open(self.machine.folder / f"{self.number}.out", "rb") as opened:
            opened.seek(self._position)
            data = opened.read()
        self._position += len(data)
        return data

    def signal(self, name: str = "TERM") -> None:
        """To the program and to what it started in its group."""
        self.machine.tell(f"signal {self.number} {name}")


class Machine:
    """start(), wait_until_ready(), run() ..., stop(). The folder is made by the owner, who also removes it."""

    def __init__(self, index: int, folder: Path, settings: dict[str, str]):
        self.index = index
        self.folder = folder
        self.settings = settings
        self.stages: dict[str, float] = {}  # seconds of the machine's own clock at which it had come so far
        self.boot_s = 0.0
        self._commands: dict[int, Command] = {}
        self.shell_left = False
        self._ready = False
        self._received = b""
        self._process = None
        self._control = self._monitor = None

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, kernel: Kernel, initramfs: Path, hardware: Hardware, wires: list[socket.socket],
              visible: list[Path], writable: list[Path], shell: bool) -> None:
        """`wires`: one for each network device, in the order in which the machine will number them."""
        settings = self.settings | {"SHELL_HERE": "yes" if shell else ""}
        (self.folder / "settings").write_text("".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()))
        (self.folder / "visible").write_text("".join(f"{path}\n" for path in visible))
        (self.folder / "writable").write_text("".join(f"{path}\n" for path in writable))
        # Socket pairs: no file to clean up, and qemu sees at once when we have gone.
        self._control, far_control = socket.socketpair()
        self._monitor, far_monitor = socket.socketpair()
        self._control.setblocking(False)
        argv = self._arguments(kernel, initramfs, hardware, wires, len(writable), far_control, far_monitor, shell)
        if writable_root := [path for path in writable if "," in str(path)]:
            raise MachineError(f"{writable_root[0]}: qemu takes no comma in a folder's name")
        for tag, path in enumerate(writable):
            argv += _shared_folder(path, f"writable{tag}")
        passed = [far_control, far_monitor, *wires]
        with open(self.folder / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                # It ends with us, even if we are killed. The terminal's Ctrl-C is for us alone, unless it has the shell.
                ["setpriv", "--pdeathsig", "KILL", "--", *argv], stdin=None if shell else subprocess.DEVNULL,
                stdout=None if shell else log, stderr=log, pass_fds=[s.fileno() for s in passed],
                start_new_session=not shell)
        self._started = time.monotonic()
        for each in passed:
            each.close()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # its root folder is read-only and its memory of no value: there is nothing to save
            self._process.wait()
        for each in (self._control, self._monitor):
            if each is not None:
                each.close()

    @property
    def ready(self) -> bool:
        return self._ready

    # --- commands ---------------------------------------------------------------------------------------------

    def run(self, argv: list[str], environment: dict[str, str], folder: str, label: str = "") -> Command:
        """Starts a program in `folder` of the machine. See poll() for its end."""
        command = Command(len(self._commands), self, label)
        self._commands[command.number] = command
        variables = {"PATH": f"/run/rdma_vm:{PROGRAM_PATH}", "HOME": "/root", "LANG": "C.UTF-8"} | environment
        script = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        script += ["ulimit -l unlimited", f"cd {shlex.quote(folder)} || exit 125", f"exec {shlex.join(argv)}"]
        (self.folder / f"{command.number}.sh").write_text("\n".join(script) + "\n")
        (self.folder / f"{command.number}.out").touch()
        self.tell(f"run {command.number} -")
        return command

    def tell(self, line: str) -> None:
        self._control.setblocking(True)
        try:
            self._control.sendall(line.encode() + b"\n")
        except BrokenPipeError:
            self._fail("has ended")
        finally:
            self._control.setblocking(False)

    def sockets(self) -> list[socket.socket]:
        """What poll() reads from: readable when there is news."""
        return [self._control]

    def poll(self) -> None:
        """Takes in what the machine has said: that it is ready, which commands have ended."""
        try:
            while data := self._control.recv(65536):
                self._received += data
            self._fail("ended before it was asked to")
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self._fail("ended before it was asked to")
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            word, *rest = line.decode().split()
            if word == "ready":
                self._ready = True
                self.boot_s = time.monotonic() - self._started
                self.stages = {name: float(value) for name, value in (stage.split("=") for stage in rest)}
            elif word == "exit":
                self._commands[int(rest[0])].status = int(rest[1])
            elif word == "shell":
                self.shell_left = True

    def require_kernel(self) -> None:
        """Raises if its kernel has given up, which poll() learns only when qemu has ended."""
        if self._has_panicked():
            self._fail("has no kernel any more")

    def set_carrier(self, device: str, on: bool) -> None:
        """Pulls the cable of a network device (net0, net1, ...) or plugs it in: the machine's kernel is told."""
        self._ask_qemu(f'{{"execute": "set_link", "arguments": {{"name": "{device}", "up": {"true" if on else "false"}}}}}')

    # --- inside -----------------------------------------------------------------------------------------------

    def _ask_qemu(self, request: str) -> None:
        if not hasattr(self, "_answers"):
            self._answers = self._monitor.makefile("rw")
            self._answers.readline()  # its greeting
            self._ask_qemu('{"execute": "qmp_capabilities"}')
        self._answers.write(request + "\n")
        self._answers.flush()
        while line := self._answers.readline():
            if '"return"' in line:
                return
            if '"error"' in line:
                raise MachineError(f"qemu refuses {request}: {line.strip()}")
        self._fail("ended before it was asked to")

    def _fail(self, how: str) -> None:
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        words = [f"machine {self.index} {how}"]
        if status:
            words.append(f"qemu's exit status: {status}" if status > 0 else f"qemu got {signal.Signals(-status).name}")
        for name in ("qemu.log", "console.log"):
            if text := self.last_words(name):
                words.append(f"the end of its {name}:\n{text}")
        raise (KernelDied if self._has_panicked() else MachineError)("; ".join(words))

    def _has_panicked(self) -> bool:
        return "Kernel panic" in self.last_words("console.log", lines=1000)

    def last_words(self, name: str, lines: int = 40) -> str:
        try:
            text = (self.folder / name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(re.sub(r"[^\x20-\x7e\t]", "", line) for line in text.splitlines()[-lines:])

    def _arguments(self, kernel, initramfs, hardware, wires, writable, control, monitor, shell) -> list[str]:
        kernel_arguments = _KERNEL_ARGUMENTS
        if hardware.counter_khz:
            kernel_arguments += f" tsc_early_khz={hardware.counter_khz}"
        argv = [QEMU, "-name", f"weft-rdma-vm-{self.index}", "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-smp", str(hardware.processors), "-m", str(hardware.memory_mb),
                "-accel", "tcg,thread=multi,tb-size=256", "-cpu", _EMULATED_CPU,
                "-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", kernel_arguments,
                "-serial", f"file:{self.folder}/console.log",
                "-chardev", f"socket,id=monitor,fd={monitor.fileno()}", "-mon", "chardev=monitor,mode=control",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=control,fd={control.fileno()}",
                "-device", "virtserialport,chardev=control,name=control,nr=1",
                *_shared_folder(self.folder, "control"), *_shared_folder(Path("/"), "root", read_only=True)]
        if shell:
            argv += ["-chardev", "stdio,id=shell,signal=off", "-device", "virtconsole,chardev=shell"]
        for number, wire in enumerate(wires):
            argv += ["-netdev", f"dgram,id=net{number},local.type=fd,local.str={wire.fileno()}",
                     "-device", f"virtio-net-pci,id=nic{number},netdev=net{number},romfile=,"
                                f"mac=52:54:00:77:{number:02x}:{self.index:02x}"]
        return argv


def _shared_folder(path: Path, tag: str, read_only: bool = False) -> list[str]:
    # Numbers of files on different file systems below it may be equal: "remap" keeps them apart.
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap"
                       + (",readonly=on" if read_only else "")]

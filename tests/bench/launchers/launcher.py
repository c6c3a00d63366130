"""The launchers that start Weft's ranks on this machine: where each is, and how it is told."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What a launcher, or the shell that runs the tests, may have set.
FOREIGN = ("RANK", "WORLD_SIZE", "MASTER_", "LOCAL_RANK", "OMPI_", "PMI", "SLURM_", "TORCHELASTIC_", "WEFT_", "MPI_")


def plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def first_program(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


def banner(*command: str) -> str:
    """What a program says of itself; "" where it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


class CannotStart(Exception):
    """The launcher is installed, but does not work on this machine."""


class Launcher:
    """One way to start ranks. `missing` says what to install; "" where it is here."""

    package = ""
    rank_variable = ""  # whose value tells the ranks apart

    def __init__(self) -> None:
        self.environment = plain_environment()

    @property
    def missing(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Whatever must run before ranks can be started."""

    def stop(self) -> None:
        pass

    def command(self, ranks: int) -> list[str]:
        """What to put in front of a rank's command line."""
        raise NotImplementedError


class OpenMpi(Launcher):
    package = "openmpi-bin"
    rank_variable = "OMPI_COMM_WORLD_RANK"

    def __init__(self) -> None:
        super().__init__()
        self.program = next((path for name in ("mpirun.openmpi", "mpirun")
                             if (path := shutil.which(name)) and "Open MPI" in banner(path, "--version")), None)

    @property
    def missing(self) -> str:
        return "" if self.program else "mpirun of Open MPI is not installed"

    def command(self, ranks: int) -> list[str]:
        as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        return [self.program, *as_root, "--oversubscribe", "-n", str(ranks)]


class Mpich(Launcher):
    package = "mpich"
    rank_variable = "PMI_RANK"

    def __init__(self) -> None:
        super().__init__()
        self.program = first_program("mpiexec.hydra", "mpiexec.mpich")

    @property
    def missing(self) -> str:
        return "" if self.program else "mpiexec of MPICH is not installed"

    def command(self, ranks: int) -> list[str]:
        return [self.program, "-n", str(ranks)]


class Torchrun(Launcher):
    package = "torch from PyPI, or python3-torch"
    rank_variable = "RANK"

    def __init__(self) -> None:
        super().__init__()
        self.environment["OMP_NUM_THREADS"] = "1"  # else it says that it sets this
        self.program = self.find()

    @staticmethod
    def find() -> list[str] | None:
        if "WEFT_TEST_TORCHRUN" in os.environ:
            return [os.environ["WEFT_TEST_TORCHRUN"]]
        if program := shutil.which("torchrun"):
            return [program]
        has_torch = subprocess.run([sys.executable, "-c", "import importlib.util as u, sys; "
                                    "sys.exit(u.find_spec('torch') is None)"], check=False).returncode == 0
        return [sys.executable, "-m", "torch.distributed.run"] if has_torch else None

    @property
    def missing(self) -> str:
        return "" if self.program else "there is no torchrun, and python3 has no torch"

    def command(self, ranks: int, *options: str) -> list[str]:
        return [*self.program, *options, f"--nproc_per_node={ranks}", "--no-python"]


class Slurm(Launcher):
    """A cluster of one node, with daemons and a configuration of its own in a temporary folder."""

    package = "slurm-wlm munge"
    rank_variable = "SLURM_PROCID"

    def __init__(self) -> None:
        super().__init__()
        # Daemons are in a folder that users other than root do not look in.
        self.environment["PATH"] = f"{self.environment.get('PATH', '')}:/usr/sbin:/sbin"
        self.daemons: list[subprocess.Popen] = []
        self.folder: tempfile.TemporaryDirectory | None = None

    @property
    def missing(self) -> str:
        path = self.environment["PATH"]
        lacking = [name for name in ("srun", "slurmctld", "slurmd", "munged") if not shutil.which(name, path=path)]
        if lacking:
            return f"{', '.join(lacking)} not installed"
        return "" if os.geteuid() == 0 else "slurmd starts jobs as root only"

    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="weft_slurm_")
        folder = Path(self.folder.name)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge_socket = folder / "munge.socket"
        # By default munged does not trust a folder that others may write to, such as the one above.
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge_socket}",
                     *(f"--{name}-file={folder / name}" for name in ("pid", "log", "seed")))
        self._wait_until(munge_socket.exists, "munged has no socket")
        host = os.uname().nodename.split(".")[0]
        controller_port, node_port = self._free_ports(2)
        configuration = folder / "slurm.conf"
        configuration.write_text(f"""\
ClusterName=weft
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={munge_socket}
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8
PartitionName=all Nodes={host} Default=YES
""")
        self.environment["SLURM_CONF"] = str(configuration)
        self._daemon("slurmctld", "-D", "-f", str(configuration))
        self._daemon("slurmd", "-D", "-f", str(configuration), "-N", host)
        self._wait_until(lambda: "idle" in self._states(), "the node does not become idle; see slurmd.log", 60)

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons.clear()
        if self.folder:
            self.folder.cleanup()
            self.folder = None

    def command(self, ranks: int, *options: str) -> list[str]:
        return ["srun", *options, "-Q", "-n", str(ranks)]

    def _daemon(self, *command: str) -> None:
        self.daemons.append(subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def _states(self) -> str:
        done = subprocess.run(["sinfo", "-h", "-o", "%t"], env=self.environment, capture_output=True, text=True,
                              timeout=60, check=False)
        return done.stdout

    def _wait_until(self, condition, what: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in self.daemons):
                logs = "".join(log.read_text(errors="replace")[-2000:]
                               for log in Path(self.folder.name).glob("*log"))
                raise CannotStart(f"Slurm: {what}\n{logs}")
            time.sleep(0.1)

    @staticmethod
    def _free_ports(count: int) -> list[int]:
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        ports = [one.getsockname()[1] for one in held]
        for one in held:
            one.close()
        return ports


LAUNCHERS = {"openmpi": OpenMpi, "mpich": Mpich, "srun": Slurm, "torchrun": Torchrun}

#!/usr/bin/env python3
"""weft perf under the real launchers: launcher_test.py openmpi|mpich|srun|torchrun [unittest's arguments]

Exits with 77, which ctest counts as skipped, where the launcher is not installed. The program is $WEFT_PROGRAM.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from launcher import LAUNCHERS, CannotStart, Launcher

SKIPPED = 77
WEFT = os.environ.get("WEFT_PROGRAM", "")
PATIENCE_S = 120  # of a loaded machine, for what takes a second or two
SHORT = ["perf", "all_reduce", "-b", "1K", "-e", "64K", "-f", "64", "-n", "1"]
launcher: Launcher


class Done:
    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status, self.output, self.errors = status, output, errors
        self.all = f"exit status {status}\n{output}{errors}"


def start(command: list[str], **variables: str) -> subprocess.Popen:
    return subprocess.Popen(command, env=launcher.environment | variables, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen) -> Done:
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        errors += f"\nlauncher_test: killed after {PATIENCE_S} s"
    return Done(process.returncode, output, errors)


def run(command: list[str], **variables: str) -> Done:
    return finish(start(command, **variables))


def launched(ranks: int, arguments: list[str], **variables: str) -> Done:
    return run([*launcher.command(ranks), WEFT, *arguments], **variables)


def shell_for_each(script: str) -> list[str]:
    """A shell that knows its rank as $r and the program as $weft; exec only where the script says so."""
    return ["sh", "-c", f"r=${launcher.rank_variable}; weft={shlex.quote(WEFT)}; {script}"]


def pids(output: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"^#\s+Rank\s+\d+.*?Pid\s+(\d+)", output, re.MULTILINE)]


def is_weft(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return Path(f"/proc/{pid}/exe").resolve() == Path(WEFT).resolve() and ") Z " not in stat
    except OSError:
        return False


class EveryLauncher(unittest.TestCase):
    def assert_right(self, done: Done, ranks: int) -> None:
        self.assertEqual(done.status, 0, done.all)
        self.assertEqual(len(set(pids(done.output))), ranks, done.all)  # one job, and not several single ones
        self.assertEqual(done.output.count("# Out of bounds values : 0 OK"), 1, done.all)

    def assert_refused(self, done: Done, *words: str) -> None:
        self.assertNotEqual(done.status, 0, done.all)
        for word in words:
            self.assertIn(word, done.all)
        self.assertEqual(pids(done.output), [], done.all)

    def test_ranks_within_wrappers_join_too(self):
        wrapper = shell_for_each('"$weft" "$@"; exit $?') + ["wrapper"]
        self.assert_right(run([*launcher.command(2), *wrapper, *SHORT]), 2)

    def test_ranks_join_one_job(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            self.assert_right(launched(4, [*SHORT, "-J", str(path)]), 4)
            name = json.loads(path.read_text())["launcher"]
        expected = {"openmpi": "mpirun", "mpich": "mpirun", "srun": "srun", "torchrun": "torchrun"}
        self.assertEqual(name, expected[sys.argv[0]])

    def test_the_ranks_flag_is_refused(self):
        self.assert_refused(launched(2, [*SHORT, "--ranks", "2"]), "--ranks starts processes on this host",
                            "leave one of the two out")

    def test_different_flags_are_refused(self):
        flags = " ".join(SHORT)
        script = f'if [ "$r" = 1 ]; then exec "$weft" {flags} -d int8; else exec "$weft" {flags}; fi'
        self.assert_refused(run([*launcher.command(3), *shell_for_each(script)]), "rank 1 was started for", "-d int8",
                            "give all ranks the same flags")

    def test_left_over_variables_are_refused(self):
        self.assert_refused(launched(2, SHORT, RANK="0", WORLD_SIZE="1"), "unset RANK and WORLD_SIZE")
        self.assert_refused(launched(2, SHORT, WORLD_SIZE="2"), "WORLD_SIZE is set, but not RANK")

    def test_two_processes_with_one_rank_are_refused(self):
        # A user's script that gives all of them the same number.
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        script = (f"export RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={port}; "
                  f'exec "$weft" {" ".join(SHORT)}')
        self.assert_refused(run([*launcher.command(2), *shell_for_each(script)], WEFT_BOOTSTRAP_TIMEOUT_MS="5000"),
                            "another process is rank 0 of the same job")

    def test_a_missing_rank_is_named(self):
        script = f'if [ "$r" = 2 ]; then exit 0; else exec "$weft" {" ".join(SHORT)}; fi'
        self.assert_refused(run([*launcher.command(3), *shell_for_each(script)], WEFT_BOOTSTRAP_TIMEOUT_MS="1500"),
                            "missing of 3 ranks: 2", "were they started")

    def test_a_killed_rank_ends_all(self):
        process = start([*launcher.command(3), WEFT, "perf", "all_reduce", "-b", "1M", "-e", "1M", "-n", "1000000"])
        try:
            head = ""
            while len(ranks := pids(head)) < 3 and (line := process.stdout.readline()):
                head += line
            self.assertEqual(len(ranks), 3, head)
            os.kill(ranks[1], signal.SIGKILL)
        finally:
            done = finish(process)
        self.assertNotEqual(done.status, 0, done.all)
        self.assertNotIn("launcher_test: killed", done.errors)
        deadline = time.monotonic() + PATIENCE_S
        while any(map(is_weft, ranks)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual([pid for pid in ranks if is_weft(pid)], [])


class SrunOnly(EveryLauncher):
    def test_srun_that_speaks_pmi2(self):
        self.assert_right(run([*launcher.command(2, "--mpi=pmi2"), WEFT, *SHORT]), 2)

    def test_an_allocation_alone_is_not_a_job(self):
        refused = run(["salloc", "-Q", "-n", "2", WEFT, *SHORT])
        self.assert_refused(refused, "srun did not start this process")
        self.assert_right(run(["salloc", "-Q", "-n", "2", WEFT, *SHORT, "--ranks", "2"]), 2)
        self.assert_right(run(["salloc", "-Q", "-n", "2", *launcher.command(2), WEFT, *SHORT]), 2)


class TorchrunOnly(EveryLauncher):
    # It sets RANK and WORLD_SIZE anew, and takes two seconds to import torch: what is as under other launchers is left
    # to them.
    NAMES = ("test_ranks_join_one_job", "test_the_ranks_flag_is_refused", "test_a_killed_rank_ends_all",
             "test_the_agents_store_holds_master_port", "test_two_jobs_at_neighbouring_ports", "test_two_agents")

    def static(self, port: int, *options: str) -> list[str]:
        return launcher.command(2, "--master_addr=127.0.0.1", f"--master_port={port}", *options)

    @staticmethod
    def two_free_ports() -> int:
        """The first of two free ports in a row."""
        while True:
            with socket.create_server(("127.0.0.1", 0)) as first:
                port = first.getsockname()[1]
                try:
                    with socket.create_server(("127.0.0.1", port + 1)):
                        return port
                except OSError:
                    continue

    def test_the_agents_store_holds_master_port(self):
        # Proof that the trap is there: the port that the ranks are told is held while they start.
        port = self.two_free_ports()
        script = ('python=$1; shift; "$python" -c "import os, socket; socket.create_connection((os.environ['
                  "'MASTER_ADDR'], int(os.environ['MASTER_PORT'])))\" && echo held; exec \"$weft\" \"$@\"")
        done = run([*self.static(port), *shell_for_each(script), "shell", sys.executable, *SHORT])
        self.assert_right(done, 2)
        self.assertEqual(done.output.count("held"), 2, done.all)

    def test_two_jobs_at_neighbouring_ports(self):
        # The second job's store is where the first job's rank 0 would like to listen.
        port = self.two_free_ports()
        jobs = [start([*self.static(port + i), WEFT, *SHORT]) for i in (0, 1)]
        for done in map(finish, jobs):
            self.assert_right(done, 2)

    def test_two_agents(self):
        port = self.two_free_ports()
        nodes = [start([*self.static(port, "--nnodes=2", f"--node_rank={node}"), WEFT, *SHORT]) for node in (0, 1)]
        zero, one = map(finish, nodes)
        self.assert_right(zero, 4)
        self.assertEqual(one.status, 0, one.all)
        self.assertNotIn("# Rank", one.output)


def skip(why: str) -> NoReturn:
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def main() -> None:
    global launcher
    if not WEFT or len(sys.argv) < 2 or sys.argv[1] not in LAUNCHERS:
        print(f"set WEFT_PROGRAM and name a launcher ({', '.join(LAUNCHERS)})", file=sys.stderr)
        sys.exit(2)
    del sys.argv[0]
    launcher = LAUNCHERS[sys.argv[0]]()
    if launcher.missing:
        skip(f"{launcher.missing} (package: {launcher.package})")
    cases = {"srun": SrunOnly, "torchrun": TorchrunOnly}.get(sys.argv[0], EveryLauncher)
    names = (sys.argv[1:] or getattr(cases, "NAMES", None) or
             unittest.defaultTestLoader.getTestCaseNames(cases))
    try:
        try:
            launcher.start()
        except CannotStart as why:
            skip(str(why))
        result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(map(cases, names)))
    finally:
        launcher.stop()
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()

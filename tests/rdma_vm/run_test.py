#!/usr/bin/env python3
"""What `run` promises: output, exit status, its limit of time, clear words, and nothing left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from machines import SKIP_EXIT_STATUS, require_machines

RUN = Path(__file__).resolve().parent / "run"
LIMIT_S = 240  # for what takes seconds on a computer that is not busy


class RunTest(unittest.TestCase):
    def setUp(self):
        # All that a run leaves behind would be in here, or be a process that names it.
        self.temporary = tempfile.TemporaryDirectory(prefix="weft-run-test-")
        self.addCleanup(self.temporary.cleanup)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-B", RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=os.environ | {"TMPDIR": self.temporary.name} | environment)

    def run_to_end(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=2 * LIMIT_S)
        self.assert_nothing_is_left()
        return process.returncode, output, errors

    def remains(self) -> list[str]:
        found = os.listdir(self.temporary.name)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended
            if self.temporary.name in command:
                found.append(f"{process.name}: {command[:200]}")
        return found

    def assert_nothing_is_left(self) -> None:
        limit = time.monotonic() + 30
        while self.remains() and time.monotonic() < limit:
            time.sleep(0.1)
        self.assertEqual(self.remains(), [])

    def start_booting(self, *arguments: str) -> subprocess.Popen:
        process = self.start(*arguments, "--timeout", str(LIMIT_S), "sleep", "1000")
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        limit = time.monotonic() + LIMIT_S
        while not any("-name weft-rdma-vm" in each for each in self.remains()):
            self.assertLess(time.monotonic(), limit, "qemu does not start")
            time.sleep(0.05)
        return process

    def test_ranks_speak_in_whole_lines_and_the_first_failure_is_the_exit_status(self):
        status, output, errors = self.run_to_end(
            "--ranks", "2", "--timeout", str(LIMIT_S), "--env", "WORD=it's so", "sh", "-c",
            'echo "$WORD $NCCL_DEBUG"; echo error >/dev/stderr; printf unfinished; exit $((RANK * 5))', NCCL_DEBUG="INFO")
        self.assertEqual(status, 5, errors)
        self.assertEqual(sorted(output.splitlines()), sorted(f"{rank}: {line}" for rank in (0, 1)
                                                             for line in ("it's so INFO", "error", "unfinished")))
        self.assertIn("rank 1: exit status 5", errors)

    def test_what_takes_too_long_is_ended(self):
        status, _, errors = self.run_to_end("--timeout", "1", "sleep", "1000")
        self.assertEqual(status, 124)
        self.assertIn("took too long", errors)

    def test_nothing_is_left_by_one_that_is_killed(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number.name):
                process = self.start_booting("--machines", "2")
                process.send_signal(number)
                process.wait()
                self.assert_nothing_is_left()

    def test_a_machine_that_ends_by_itself_is_a_failure_with_its_last_words(self):
        status, _, errors = self.run_to_end("--timeout", str(LIMIT_S), "sh", "-c", "echo c >/proc/sysrq-trigger")
        self.assertEqual(status, 125, errors)
        self.assertIn("ended before it was asked to", errors)
        self.assertIn("sysrq", errors)

    def test_without_qemu_it_is_skipped_in_clear_words(self):
        status, _, errors = self.run_to_end("true", PATH="/nowhere")
        self.assertEqual(status, SKIP_EXIT_STATUS)
        self.assertIn("qemu-system-x86_64 is not installed (Debian package qemu-system-x86)", errors)

    @unittest.skipIf(list(Path("/boot").glob("vmlinuz-*")), "a kernel is installed here")
    def test_without_a_kernel_it_is_skipped_in_clear_words(self):
        status, _, errors = self.run_to_end("true", XDG_CACHE_HOME="/nowhere")
        self.assertEqual(status, SKIP_EXIT_STATUS)
        self.assertIn("--fetch-kernel", errors)


if __name__ == "__main__":
    require_machines()
    unittest.main(verbosity=2)

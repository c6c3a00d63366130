#!/usr/bin/env python3
"""torch_check.py without PyTorch or a GPU: what counts as proof, and that a hung job leaves nothing behind."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import torch_check  # noqa: E402

BANNER = "NCCL INFO NET/Weft : Weft 0.1.0, net plugin ABI v11, 1 planes\n"
WEFT = "NCCL INFO Using network Weft\n"
CHANNEL = "NCCL INFO Channel 00/0 : 1[0] -> 0[0] [send] via NET/Weft/0\n"
SOCKET = "NCCL INFO Using network Socket\nNCCL INFO Channel 00/0 : 1[0] -> 0[0] [send] via NET/Socket/0\n"


class Log(unittest.TestCase):
    def test_each_transport_is_proven_by_its_own_log_only(self):
        self.assertIsNone(torch_check.log_problem(BANNER + WEFT + CHANNEL, "weft"))
        self.assertIsNone(torch_check.log_problem(SOCKET, "socket"))
        self.assertIn("Socket", torch_check.log_problem(SOCKET, "weft"))
        self.assertIn("Weft", torch_check.log_problem(BANNER + WEFT + CHANNEL, "socket"))

    def test_missing_pieces_are_found(self):
        for text in ("", WEFT + CHANNEL, BANNER + WEFT, BANNER + CHANNEL):
            self.assertIsNotNone(torch_check.log_problem(text, "weft"), text)

    def test_a_channel_over_another_way_is_found(self):
        other = CHANNEL.replace("NET/Weft/0", "SHM/direct/direct")
        self.assertIn("SHM", torch_check.log_problem(BANNER + WEFT + CHANNEL + other, "weft"))


class Counters(unittest.TestCase):
    def test_every_byte_counts_once(self):
        paths = [{"bytes_sent": 3}, {"bytes_sent": 4}]
        self.assertEqual(torch_check.bytes_sent({"connections": [{"paths": paths}]}), 7)
        self.assertEqual(torch_check.bytes_sent({"connections": [{"bytes_sent": 7, "paths": paths}]}), 7)
        self.assertEqual(torch_check.bytes_sent({"totals": {"bytes_sent": 9}, "connections": [{"paths": paths}]}), 9)

    def test_too_few_bytes_are_no_proof(self):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            for rank in range(2):
                (directory / f"job.nccl.{rank}.log").write_text(BANNER + WEFT + CHANNEL)
                (directory / f"job.counters.{rank}.json").write_text(json.dumps({"bytes_sent": 100}))
            self.assertEqual(torch_check.proof_problem(directory, "job", "weft", 2, 200), (None, 200))
            self.assertIn("at least 201", torch_check.proof_problem(directory, "job", "weft", 2, 201)[0])
            self.assertIn("2 of 3", torch_check.proof_problem(directory, "job", "weft", 3, 1)[0])

    def test_least_wire_bytes(self):
        rows = [{"check": "all_reduce", "bytes": 100}, {"check": "all_to_all_single", "bytes": 100},
                {"check": "ddp_weights_step0", "bytes": 100}]
        self.assertEqual(torch_check.least_wire_bytes(rows, 4, 2), 2 * (600 + 300))


class Output(unittest.TestCase):
    def test_rows_are_found_among_other_lines(self):
        text = '[rank0] warning {not json\n{"check": "x", "bytes": 8}\n[default0]:{"checks": 1, "wrong_bytes": 0}\n'
        rows, summary = torch_check.read_rows(text)
        self.assertEqual(len(rows), 1)
        self.assertEqual(summary["checks"], 1)


class Process(unittest.TestCase):
    def test_a_hung_job_is_ended_with_all_below_it(self):
        with tempfile.TemporaryDirectory() as name:
            mark = Path(name) / "pid"
            # A child in its own session, as torchrun's are; it writes its id and hangs.
            child = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
            job = ("import subprocess, sys; "
                   f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True).wait()")
            status = torch_check.run_to_end([sys.executable, "-c", job], dict(os.environ), Path(name) / "out", 3)
            self.assertIsNone(status)
            pid = int(mark.read_text())
            for _ in range(200):
                try:
                    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    return
                if state == "Z":
                    return
                time.sleep(0.05)
            self.fail("the child outlived the job")


class CommandLine(unittest.TestCase):
    def run_check(self, *arguments):
        return subprocess.run([sys.executable, torch_check.__file__, *arguments], capture_output=True, text=True)

    def test_bad_arguments_are_named(self):
        for arguments, word in ((["--plugin", "/nonexistent.so"], "/nonexistent.so"),
                                (["--transports", "smoke"], "smoke"), (["--ranks", "1", "--transports", "socket"], "2 to 8"),
                                (["--ranks", "x"], "numbers")):
            result = self.run_check(*arguments)
            self.assertEqual(result.returncode, torch_check.BAD_ARGUMENTS, arguments)
            self.assertIn(word, result.stderr)


if __name__ == "__main__":
    unittest.main()

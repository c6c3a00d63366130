#!/usr/bin/env python3
"""Are the machines what they say? perftest moves data over their planes, and fails where a plane was cut.

    machine_test.py SingleMachine | PairOfMachines [TEST]
"""

import re
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from machines import Cluster, Command, MachineError, require_machines

PLANES = 4
LIMIT_S = 120  # for each step; far more than it takes, since the computer may be busy
GID_OF_IPV4, GID_OF_IPV6 = 1, 2  # 0 is the link-local one
RETRY_EXCEEDED, FLUSHED, LOCAL_FAILURE = 12, 5, 2  # enum ibv_wc_status
FRAMES = 50


class MachineTest(unittest.TestCase):
    """With hosts 0 and 1 at the ends of the planes, whether they are two machines or one."""

    machines = 0
    cluster: Cluster

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="weft-rdma-vm-test-")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.cluster = Cluster(cls.machines, PLANES, writable=[Path(cls.scratch.name)], boot_limit_s=2 * LIMIT_S).up()
        cls.addClassCleanup(cls.cluster.down)

    def machine_of(self, host: int) -> int:
        return host if self.machines == 2 else 0

    def nic(self, host: int, plane: int) -> str:
        return f"p{plane}" if self.machines == 2 else f"{'ab'[host]}{plane}"

    def on(self, host: int, script: str) -> str:
        return self.cluster.check(self.machine_of(host), ["bash", "-c", script], LIMIT_S)

    def port_state(self, host: int, plane: int) -> str:
        return self.on(host, f"cat /sys/class/infiniband/{self.cluster.device(host, plane)}/ports/1/state").split()[1]

    def start_write(self, source: int, plane: int, options: str, listens: str) -> tuple[Command, Command]:
        """ib_write_bw as server and client. `listens`: tells in the server's machine that the server does."""
        words = ["ib_write_bw", "-F", "-m", "4096", "-s", "65536", *options.split()]
        target = 1 - source
        address = self.cluster.address(target, plane) if "-R" in words else self.management_address(target)
        server, client = (words + ["-d", self.cluster.device(host, plane)] for host in (target, source))
        first = self.cluster.run(self.machine_of(target), server, folder="/tmp")
        self.on(target, f"until {listens}; do sleep 0.1; done")
        return first, self.cluster.run(self.machine_of(source), client + [address], folder="/tmp")

    def management_address(self, host: int) -> str:
        return f"10.255.0.{host + 1}" if self.machines == 2 else "127.0.0.1"

    def write_passes(self, source: int, plane: int, gid: int) -> None:
        pair = self.start_write(source, plane, f"-x {gid} -n 30", "grep -qs ':4853 0*:0000 0A' /proc/net/tcp*")  # 18515
        output = []
        status = self.cluster.wait(list(pair), LIMIT_S, lambda _, data: output.append(data.decode(errors="replace")))
        self.assertEqual(status, 0, f"plane {plane} from host {source}: {''.join(output)}")

    def passed_frames(self, source: int, plane: int) -> int:
        """How many get from one host to the other. To a multicast address, so that nobody needs to be asked first."""
        target = 1 - source
        count = f"/sys/class/net/{self.nic(target, plane)}/statistics/rx_packets"
        before = int(self.on(target, f"cat {count}"))
        self.on(source, f"for ((i = 0; i < {FRAMES}; i++)); do "
                        f"echo x >/dev/udp/ff02::1%{self.nic(source, plane)}/9 || :; done 2>/dev/null")
        return int(self.on(target, f"for ((i = 0; i < 20; i++)); do "
                                   f"[ $(<{count}) -lt {before + FRAMES} ] || break; sleep 0.05; done; cat {count}")) - before

    def passes(self, source: int, plane: int) -> bool:
        passed = self.passed_frames(source, plane)
        # The kernels have a word to say now and then; that is not many frames.
        self.assertTrue(passed >= FRAMES or passed < FRAMES / 2, f"{passed} of {FRAMES} frames pass on plane {plane}")
        return passed >= FRAMES

    def wait_until_passes(self, plane: int) -> None:
        """A device that was just opened takes its time, and connecting a queue pair waits a second for the far end's address."""
        limit = time.monotonic() + LIMIT_S
        while any(self.passed_frames(host, plane) < FRAMES for host in (0, 1)):
            self.assertLess(time.monotonic(), limit, f"plane {plane} does not come back")

    def assert_passes(self, plane: int, forth: bool, back: bool) -> None:
        self.assertEqual([self.passes(0, plane), self.passes(1, plane)], [forth, back], f"plane {plane}")

    def break_in_transfer(self, plane: int, how) -> str:
        """Writes for long over a plane, breaks it on the way; what the writer had to say."""
        pair = self.start_write(0, plane, "-R -x 1 -D 60 --retry_count=3", "rdma resource show cm_id | grep -q LISTEN")
        output = []
        sent = f"/sys/class/net/{self.nic(0, plane)}/statistics/tx_packets"
        self.on(0, f"start=$(cat {sent}); until [ $(cat {sent}) -gt $((start + 500)) ]; do sleep 0.1; done")
        how()
        # The client's end is what counts; the server learns nothing of a silent cut and is ended.
        self.cluster.wait([pair[1]], LIMIT_S, lambda _, data: output.append(data.decode(errors="replace")))
        pair[0].signal("KILL")
        self.cluster.wait([pair[0]], LIMIT_S)
        self.assertNotIn(pair[1].status, (0, None), "".join(output))
        return "".join(output)

    def failed_status(self, words: str) -> int:
        found = re.search(r"Failed status (\d+)", words)
        self.assertIsNotNone(found, words)
        return int(found[1])

    def check_devices(self) -> None:
        for host in (0, 1):
            found = self.on(host, "ibv_devinfo")
            for plane in range(PLANES):
                with self.subTest(host=host, plane=plane):
                    block = found.partition(f"hca_id:\t{self.cluster.device(host, plane)}\n")[2].partition("hca_id")[0]
                    self.assertRegex(block, r"state:\s+PORT_ACTIVE")
                    self.assertRegex(block, r"active_mtu:\s+4096")

    def check_writes(self) -> None:
        for plane in range(PLANES):
            with self.subTest(plane=plane):
                self.write_passes(plane % 2, plane, GID_OF_IPV4 if plane in (0, 3) else GID_OF_IPV6)

    def check_silent_cuts(self) -> None:
        plane = self.cluster.plane(1)
        for how, host, forth, back in (("silent", None, False, False), ("from", 0, False, True), ("to", 0, True, False)):
            with self.subTest(how=how, host=host):
                plane.cut(how, host)
                self.assert_passes(1, forth, back)
                self.assertEqual([self.port_state(h, 1) for h in (0, 1)], ["ACTIVE", "ACTIVE"])
                plane.restore()
                self.assert_passes(1, True, True)


class SingleMachine(MachineTest):
    machines = 1

    def test_devices_are_there(self):
        self.check_devices()

    def test_every_plane_carries_writes(self):
        self.check_writes()

    def test_silent_cuts_do_what_they_say(self):
        self.check_silent_cuts()

    def test_commands_see_the_host_and_can_change_only_what_they_may(self):
        outside, inside = Path(__file__).resolve().parent / "written", Path(self.scratch.name) / "written"
        self.on(0, f"cmp {__file__} {__file__}; echo lost >{outside}; cat {outside}; echo kept >{inside}")
        self.assertFalse(outside.exists(), "a machine has written to the host")
        self.assertEqual(inside.read_text(), "kept\n")

    def test_a_job_has_its_ranks_and_the_first_failure_is_the_result(self):
        said = {}
        commands = self.cluster.run_everywhere(
            ["sh", "-c", 'echo $RANK $WORLD_SIZE $RDMA_VM_DEVICES $EXTRA; exit $((RANK * 40))'], 3, {"EXTRA": "it's"})
        status = self.cluster.wait(commands, LIMIT_S, lambda c, data: said.update({c.label: said.get(c.label, b"") + data}))
        self.assertEqual(status, 40)
        self.assertEqual(said, {f"{r}: ": f"{r} 3 {','.join(f'rxe_{end}{p}' for p in range(PLANES))} it's\n".encode()
                                for r, end in enumerate("aba")})

    def test_those_who_wait_for_a_failed_rank_are_ended(self):
        commands = self.cluster.run_everywhere(["sh", "-c", "[ $RANK = 0 ] && exit 3; sleep 1000"], 2)
        self.assertEqual(self.cluster.wait(commands, LIMIT_S, grace_s=0.2), 3)
        self.assertEqual(commands[1].status, 128 + 9)

    def test_the_clock_runs_at_the_right_rate(self):
        def both() -> tuple[float, float]:
            before = time.monotonic()
            inside = float(self.on(0, "cat /proc/uptime").split()[0])
            return (before + time.monotonic()) / 2, inside

        host_start, machine_start = both()
        self.on(0, "sleep 5")
        host_end, machine_end = both()
        ratio = (machine_end - machine_start) / (host_end - host_start)
        self.assertTrue(0.5 < ratio < 2, f"{ratio:.2f} seconds of the machine in one of the host")


class PairOfMachines(MachineTest):
    machines = 2

    def test_devices_are_there(self):
        self.check_devices()

    def test_every_plane_carries_writes(self):
        self.check_writes()

    def test_silent_cuts_do_what_they_say(self):
        self.check_silent_cuts()

    def test_a_silent_cut_ends_a_transfer(self):
        words = self.break_in_transfer(2, lambda: self.cluster.plane(2).cut("silent"))
        self.assertEqual(self.failed_status(words), RETRY_EXCEEDED, words)
        self.cluster.plane(2).restore()
        self.write_passes(0, 2, GID_OF_IPV4)

    def test_a_cut_of_roce_alone_ends_a_transfer_and_lets_all_else_pass(self):
        words = self.break_in_transfer(1, lambda: self.cluster.plane(1).cut("roce"))
        self.assertEqual(self.failed_status(words), RETRY_EXCEEDED, words)
        self.assert_passes(1, True, True)
        self.cluster.plane(1).restore()
        for gid in (GID_OF_IPV4, GID_OF_IPV6):
            self.write_passes(0, 1, gid)

    def test_a_pulled_cable_is_seen_at_its_own_end_only(self):
        plane = self.cluster.plane(3)
        plane.cut("link", host=0)
        self.on(0, f"until grep -q DOWN /sys/class/infiniband/{self.cluster.device(0, 3)}/ports/1/state; do sleep 0.1; done")
        self.assertEqual(self.port_state(1, 3), "ACTIVE")
        self.assert_passes(3, False, False)
        self.assert_passes(0, True, True)
        plane.restore()
        self.on(0, f"until grep -q ACTIVE /sys/class/infiniband/{self.cluster.device(0, 3)}/ports/1/state; do sleep 0.1; done")
        self.assert_passes(3, True, True)
        self.write_passes(0, 3, GID_OF_IPV6)

    def test_a_pulled_cable_ends_a_transfer(self):
        words = self.break_in_transfer(0, lambda: self.cluster.plane(0).cut("link", host=0))
        self.assertIn(self.failed_status(words), (RETRY_EXCEEDED, FLUSHED, LOCAL_FAILURE), words)
        self.cluster.plane(0).restore()
        self.write_passes(0, 0, GID_OF_IPV4)

    def test_a_device_that_was_shut_comes_back_with_its_addresses(self):
        self.cluster.plane(1).cut("down", host=1)
        self.assertEqual(self.port_state(1, 1), "DOWN")
        self.assertEqual(self.port_state(0, 1), "ACTIVE")
        self.cluster.plane(1).restore()
        self.wait_until_passes(1)
        self.write_passes(1, 1, GID_OF_IPV6)

    def test_writes_survive_loss(self):
        self.cluster.plane(2).netem("loss", "1%")
        try:
            self.write_passes(0, 2, GID_OF_IPV4)
        finally:
            self.cluster.plane(2).restore()

    def test_a_rank_can_cut_its_own_plane(self):
        self.on(1, "plane 0 cut")
        self.assert_passes(0, True, False)
        self.on(1, "plane 0 restore")
        self.assert_passes(0, True, True)

    def test_what_does_not_exist_is_refused(self):
        for wrong in (lambda: self.cluster.plane(PLANES), lambda: self.cluster.plane(0).cut("gently"),
                      lambda: self.on(0, f"plane {PLANES} cut"), lambda: self.on(0, "plane 0 gently"),
                      lambda: self.cluster.check(0, ["/no/such/program"])):
            self.assertRaises(MachineError, wrong)

    def test_a_job_has_a_rank_on_each_machine(self):
        said = {}
        commands = self.cluster.run_everywhere(["sh", "-c", 'echo $RANK $WORLD_SIZE $MASTER_ADDR $(hostname)'])
        self.assertEqual(self.cluster.wait(commands, LIMIT_S, lambda c, data: said.update({c.label: data})), 0)
        self.assertEqual(said, {f"{r}: ": f"{r} 2 10.255.0.1 rdma-vm-{r}\n".encode() for r in (0, 1)})


if __name__ == "__main__":
    require_machines(ibv_devinfo="ibverbs-utils", ib_write_bw="perftest")
    unittest.main(verbosity=2)

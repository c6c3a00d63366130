#!/usr/bin/env python3
"""Does the fabric do to frames what it says, and nothing to anybody else? Sockets on its hosts find out."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from netfabric import Fabric, FabricError, require_privilege
from netfabric.counters import PlaneCounters

TCP_STREAM = os.environ.pop("TCP_STREAM", "")


def passes(fabric: Fabric, plane: int, source: int, target: int, tries: int = 5) -> bool:
    """Does a datagram from one host reach another over this plane, if it is sent again and again for a while?"""
    family = socket.AF_INET if "4" in fabric.families else socket.AF_INET6
    receiver, sender = (fabric.inside(h, lambda: socket.socket(family, socket.SOCK_DGRAM)) for h in (target, source))
    with receiver, sender:
        receiver.bind((fabric.address(target, plane), 0))
        receiver.settimeout(0.1)
        for _ in range(tries):
            try:
                sender.sendto(b"x", receiver.getsockname())
                receiver.recv(1)
                return True
            except TimeoutError:
                pass
    return False


def carrier(fabric: Fabric, host: int, nic: str) -> bool:
    links = json.loads(subprocess.check_output(["ip", "-n", fabric.hosts[host], "-j", "link", "show", nic]))
    return links[0]["operstate"] == "UP"


def namespaces() -> set[str]:
    listed = subprocess.check_output(["ip", "netns", "list"], text=True).splitlines()
    return {line.split()[0] for line in listed if line}


class FabricTest(unittest.TestCase):
    def assert_passes(self, fabric: Fabric, plane: int, forth: bool, back: bool) -> None:
        for source, expected in ((0, forth), (1, back)):
            # What shall pass may wait for address resolution; what shall not is given less time to prove us wrong.
            passed = passes(fabric, plane, source, 1 - source, tries=50 if expected else 5)
            self.assertEqual(passed, expected, f"plane {plane} from host {source}")

    def test_every_plane_carries_both_families(self):
        for families in ("4", "6"):
            with Fabric(planes=3, families=families) as fabric:
                for plane in range(3):
                    self.assert_passes(fabric, plane, True, True)

    def test_cuts_do_what_they_say_and_only_on_their_plane(self):
        with Fabric(planes=2) as fabric:
            for how, forth, back in (("silent", False, False), ("link", False, False), ("to", True, False),
                                     ("from", False, True)):
                with self.subTest(how=how):
                    fabric.plane(1).cut(how, host=0)
                    self.assert_passes(fabric, 1, forth, back)
                    self.assert_passes(fabric, 0, True, True)
                    self.assertEqual(carrier(fabric, 0, "p1"), how != "link")
                    self.assertTrue(carrier(fabric, 1, "p1"), "only host 0's cable was cut")
                    fabric.plane(1).restore()
                    self.assert_passes(fabric, 1, True, True)

    def test_cut_all_leaves_the_management_network(self):
        with Fabric(planes=2) as fabric:
            fabric.cut_all()
            for plane in range(2):
                self.assert_passes(fabric, plane, False, False)
            listener = fabric.inside(1, socket.socket)
            client = fabric.inside(0, socket.socket)
            with listener, client:
                listener.bind((fabric.address(1), 0))
                listener.listen(1)
                client.settimeout(5)
                client.connect(listener.getsockname())

    def test_crossed_names_lie_on_different_planes(self):
        with Fabric(planes=2, crossed=True) as fabric:
            self.assertEqual(fabric.plane(0).nics, ["p0", "p1"])
            self.assert_passes(fabric, 0, True, True)

    def test_three_hosts_share_a_plane(self):
        with Fabric(planes=1, hosts=3) as fabric:
            fabric.plane(0).cut("silent", host=2)
            self.assert_passes(fabric, 0, True, True)
            self.assertFalse(passes(fabric, 0, 0, 2))

    def test_rates_hold_and_counters_count(self):
        if not TCP_STREAM:
            self.skipTest("needs the yardstick tcp_stream (environment variable TCP_STREAM)")
        with Fabric(planes=2, rate="200mbit") as fabric, PlaneCounters(fabric, host=1) as counters:
            full = self.stream_rate(fabric, 0)
            fabric.plane(0).set_rate(50_000_000)
            quarter = self.stream_rate(fabric, 0)
            fabric.plane(0).set_rate(200_000_000)
            again = self.stream_rate(fabric, 0)
            time.sleep(0.05)
            carried = counters.received_between(0, time.monotonic())
        # Two megabytes a sample: a receiver that was kept waiting drains what had queued up faster than the limit.
        self.assertLess(full * 8, 220e6, "more than the limit came through")
        self.assertLess(quarter / full, 0.3)
        self.assertGreater(quarter / full, 0.2)
        self.assertGreater(again / full, 0.9)
        self.assertGreater(carried[0], 3 * 4 * 2**20)
        self.assertLess(carried[1], 2**16)

    def stream_rate(self, fabric: Fabric, plane: int) -> float:
        endpoint = f"{fabric.address(1, plane)}:7000"
        common = [TCP_STREAM, "--message-bytes", "1m", "--messages", "2", "--warmup-messages", "1", "--repetitions", "3"]
        receiver = fabric.popen(1, common + ["--listen", endpoint], stdout=subprocess.PIPE, text=True)
        sender = fabric.popen(0, common + ["--connect", endpoint])
        output, _ = receiver.communicate()
        self.assertEqual(sender.wait(), 0)
        return json.loads(output)["median_gigabytes_per_s"] * 1e9


class RemovalTest(unittest.TestCase):
    def test_nothing_stays_behind(self):
        before = namespaces()
        with Fabric(planes=1) as fabric:
            child = fabric.popen(0, ["sleep", "1000"])
            self.assertEqual(len(namespaces() - before), 3)
        self.assertEqual(namespaces(), before)
        self.assertEqual(child.wait(), -signal.SIGTERM)

    def test_nothing_stays_behind_an_error(self):
        before = namespaces()
        with self.assertRaises(FabricError):
            with Fabric(planes=1, congestion_control="no-such"):
                self.fail("entered")
        with self.assertRaises(ZeroDivisionError):
            with Fabric(planes=1):
                _ = 1 / 0
        self.assertEqual(namespaces(), before)

    def test_nothing_stays_behind_a_signal(self):
        before = namespaces()
        program = ("import sys, time; sys.path.insert(0, sys.argv[1]); from netfabric import Fabric\n"
                   "with Fabric(planes=1): print('up', flush=True); time.sleep(1000)")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            child = subprocess.Popen([sys.executable, "-c", program, str(Path(__file__).resolve().parent)],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            with child, child.stdout:
                child.stdout.readline()
                self.assertGreater(len(namespaces() - before), 0)
                child.send_signal(number)
                self.assertNotEqual(child.wait(), 0)
            self.assertEqual(namespaces(), before, signal.Signals(number).name)

    def test_two_fabrics_do_not_know_each_other(self):
        with Fabric(planes=1) as one, Fabric(planes=1) as other:
            one.cut_all()
            self.assertTrue(passes(other, 0, 0, 1))
            self.assertFalse(passes(one, 0, 0, 1))

    def test_bad_arguments_are_refused_in_words(self):
        for arguments, words in (({"planes": 0}, "1 to 64 planes"), ({"rate": "fast"}, "400mbit"),
                                 ({"families": "5"}, "families"), ({"name": "a b"}, "letters")):
            with self.assertRaisesRegex(FabricError, re.escape(words)):
                Fabric(**arguments)


if __name__ == "__main__":
    require_privilege()
    unittest.main(verbosity=2)

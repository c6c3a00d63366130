#!/usr/bin/env python3
"""Which planes does Weft use? The kernel's counters tell: WEFT_IF picks by prefix, name or exclusion, and planes are
found whatever their family and whatever their NICs are called.
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from netfabric import Fabric, require_privilege
from netfabric.counters import PlaneCounters
from netfabric.weft_job import WeftJob, find_weft

WEFT = find_weft()
MESSAGE_BYTES, ITERATIONS = 8 * 2**20, 12


class InterfaceChoiceTest(unittest.TestCase):
    def shares(self, fabric: Fabric, environment: dict[str, str]) -> list[float]:
        """The part of the transfer that each plane carried to host 1."""
        size = str(MESSAGE_BYTES)
        with PlaneCounters(fabric, 1) as counters:
            before = counters.samples[0].received_bytes
            with WeftJob(fabric, WEFT, ["sendrecv", "-b", size, "-e", size, "-n", str(ITERATIONS)], environment) as job:
                job.wait(60)
                self.assertEqual(job.rows()[0].wrong, 0)
        carried = [after - b for b, after in zip(before, counters.samples[-1].received_bytes)]
        self.assertGreater(sum(carried) + MESSAGE_BYTES, MESSAGE_BYTES * ITERATIONS if any(carried) else 0)
        return [bytes_ / (MESSAGE_BYTES * ITERATIONS) for bytes_ in carried]

    def assert_used(self, fabric: Fabric, used: set[int], environment: dict[str, str]) -> None:
        shares = self.shares(fabric, environment)
        for plane, share in enumerate(shares):
            if plane in used:
                self.assertGreater(share, 0.3 / len(used), f"plane {plane} of {shares}")
            else:
                self.assertLess(share, 0.01, f"plane {plane} of {shares}")

    def test_by_prefix_name_and_exclusion(self):
        with Fabric(planes=4) as fabric:
            for value, used in (("p", {0, 1, 2, 3}), ("=p1", {1}), ("=p1,p3", {1, 3}), ("p2,p0", {0, 2}),
                                ("^m0,p3", {0, 1, 2})):
                with self.subTest(WEFT_IF=value):
                    self.assert_used(fabric, used, {"WEFT_IF": value})

    def test_a_name_that_no_interface_has_is_an_error_that_names_it(self):
        with Fabric(planes=1) as fabric:
            arguments = ["sendrecv", "-b", "8", "-e", "8", "-n", "1"]
            with WeftJob(fabric, WEFT, arguments, {"WEFT_IF": "=nosuch"}) as job:
                self.assertNotIn(0, job.wait(60))
                self.assertIn("nosuch", job.last_words())

    def test_planes_with_ipv6_only(self):
        with Fabric(planes=4, families="6") as fabric:
            self.assert_used(fabric, {0, 1, 2, 3}, {})

    def test_more_planes_than_an_address_has_room_for(self):
        # Slow enough for a small machine to fill all of them: else a plane's share is what the processor leaves it.
        for planes, families in ((6, "6"), (13, "4")):
            with self.subTest(planes=planes), Fabric(planes=planes, families=families, rate="100mbit") as fabric:
                self.assert_used(fabric, set(range(planes)), {})

    def test_family_of_planes_that_have_both(self):
        with Fabric(planes=2) as fabric:
            for family in ("4", "6"):
                with self.subTest(WEFT_FAMILY=family):
                    self.assert_used(fabric, {0, 1}, {"WEFT_FAMILY": family})

    def test_equal_names_on_different_planes(self):
        with Fabric(planes=4, crossed=True) as fabric:
            self.assert_used(fabric, {0, 1, 2, 3}, {})

    def test_a_plane_that_only_one_host_is_on(self):
        with Fabric(planes=3) as fabric:
            fabric.plane(1).cut("silent")
            self.assert_used(fabric, {0, 2}, {})


if __name__ == "__main__":
    require_privilege()
    if not WEFT:
        print("interface_choice_test: set WEFT_PROGRAM to the weft program", file=sys.stderr)
        sys.exit(2)
    unittest.main(verbosity=2)

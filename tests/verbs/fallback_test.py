#!/usr/bin/env python3
"""Two machines whose network lets no RoCE through, as a switch's rule may: where the choice is Weft's, the connection goes over
TCP and says so; where the user chose verbs, the error says what to look at. And with RoCE, Weft takes it.

    fallback_test.py --exchange build/dev/tests/engine/reused_buffers
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "rdma_vm"))
from machines import Cluster, MachineError, require_machines

PLANES = 2
LIMIT_S = 150  # for each exchange; far more than it takes, since the computer may be busy
TRIES = 3  # auto gives RDMA five seconds to connect, which a busy computer's emulated machines may need
FELL_BACK = "this connection goes over TCP, not RDMA"


def exchange(cluster: Cluster, program: str, environment: dict[str, str]) -> tuple[int, str]:
    said = bytearray()
    ranks = cluster.run_everywhere([program, "20"], environment={"WEFT_DEBUG": "INFO"} | environment)
    status = cluster.wait(ranks, LIMIT_S, lambda _, data: said.extend(data))
    return status, said.decode(errors="replace")


def require(holds: bool, what: str, words: str) -> None:
    if not holds:
        raise MachineError(f"{what}; the ranks said:\n{words}")
    print(what, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", required=True, metavar="PROGRAM", help="reused_buffers")
    program = os.path.abspath(parser.parse_args().exchange)
    require_machines()
    with Cluster(2, PLANES, boot_limit_s=240) as cluster:
        for plane in range(PLANES):
            cluster.plane(plane).cut("roce")
        status, words = exchange(cluster, program, {"WEFT_TRANSPORT": "auto"})
        require(status == 0 and FELL_BACK in words, "without RoCE, auto goes over TCP and says so", words)
        # Long enough for emulated machines to connect, were there a way.
        status, words = exchange(cluster, program, {"WEFT_TRANSPORT": "verbs", "WEFT_CONNECT_TIMEOUT_MS": "10000"})
        require(status == 1 and "UDP port 4791" in words and "WEFT_TRANSPORT=tcp" in words,
                "without RoCE, verbs is an error that names RoCE and the way out", words)
        for plane in range(PLANES):
            cluster.plane(plane).restore()
        for _ in range(TRIES):
            status, words = exchange(cluster, program, {"WEFT_TRANSPORT": "auto"})
            if FELL_BACK not in words:
                break
        require(status == 0 and "transport: RDMA by rxe0" in words and FELL_BACK not in words, "with RoCE, auto takes it", words)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the plain TCP and MPTCP programs of bench/baselines on the hosts of a fabric."""

import json
import subprocess
from dataclasses import dataclass

from netfabric import Fabric, FabricError

_PORT = 7000


@dataclass(frozen=True)
class Yardsticks:
    tcp_stream_program: str
    tcp_pingpong_program: str

    def tcp_stream(self, fabric: Fabric, plane: int, seconds: float, rate_bits_per_s: int, duplex: bool) -> float:
        """Gigabytes a second of one connection over one plane, in each direction."""
        return self._stream(fabric, fabric.address(1, plane), fabric.address(1, plane), seconds, rate_bits_per_s,
                            duplex, [])["median_gigabytes_per_s"]

    def mptcp_stream(self, fabric: Fabric, seconds: float, rate_bits_per_s: int, duplex: bool) -> dict:
        """The program's own result, with `subflows`, for one connection over every plane."""
        anywhere = "0.0.0.0" if "4" in fabric.families else "::"
        return self._stream(fabric, anywhere, fabric.address(1, 0), seconds, rate_bits_per_s, duplex, ["--mptcp"])

    def tcp_stream_on_loopback(self, fabric: Fabric, options: list[str]) -> float:
        return self._run_alone(fabric, self.tcp_stream_program, options)["median_gigabytes_per_s"]

    def tcp_pingpong_on_loopback(self, fabric: Fabric, options: list[str]) -> dict:
        return self._run_alone(fabric, self.tcp_pingpong_program, options)

    def _stream(self, fabric: Fabric, listen: str, connect: str, seconds: float, rate_bits_per_s: int, duplex: bool,
                options: list[str]) -> dict:
        # Messages of 8 MiB, so that a repetition is long against a round trip and a run short against patience.
        messages = max(1, round(rate_bits_per_s / 8 * seconds / 3 / 2**23))
        common = [self.tcp_stream_program, "--message-bytes", "8m", "--messages", str(messages), "--warmup-messages",
                  str(max(1, messages // 2)), "--repetitions", "3", "--call-bytes", "1m", "--wait-all", *options]
        common += ["--duplex", "threads"] if duplex else []
        receiver = fabric.popen(1, [*common, "--listen", _endpoint(listen)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        sender = fabric.popen(0, [*common, "--connect", _endpoint(connect)], stderr=subprocess.PIPE, text=True)
        output, errors = receiver.communicate()
        _, sender_errors = sender.communicate()
        if receiver.returncode or sender.returncode:
            raise FabricError(f"tcp_stream failed: {errors.strip()} {sender_errors.strip()}")
        return json.loads(output)

    def _run_alone(self, fabric: Fabric, program: str, options: list[str]) -> dict:
        run = fabric.popen(0, [program, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, errors = run.communicate()
        if run.returncode:
            raise FabricError(f"{program} failed: {errors.strip()}")
        return json.loads(output)


def _endpoint(address: str) -> str:
    return f"[{address}]:{_PORT}" if ":" in address else f"{address}:{_PORT}"

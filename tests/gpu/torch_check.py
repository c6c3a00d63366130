#!/usr/bin/env python3
"""Runs torch_distributed.py under torchrun, over Weft's plugin and over NCCL's sockets, and proves which was used.

Exit status: 0 all right; 1 wrong bytes, failure, hang, or traffic that took another way; 2 bad arguments; 77 skipped,
with the reason (no PyTorch with NCCL, or no GPU).
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PASS, FAIL, BAD_ARGUMENTS, SKIPPED = 0, 1, 2, 77
WORKER = Path(__file__).resolve().with_name("torch_distributed.py")
NETWORK_NAME = {"weft": "Weft", "socket": "Socket"}

# Read by a fresh process: importing torch here would make a CUDA context that the ranks then share the GPU with.
PROBE = """
import json
import torch
import torch.distributed as dist
nccl = dist.is_available() and dist.is_nccl_available()
gpu = torch.cuda.is_available()
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "nccl": nccl, "gpu": gpu,
                  "nccl_version": ".".join(map(str, torch.cuda.nccl.version())) if nccl else None,
                  "device": torch.cuda.get_device_name(0) if gpu else None}))
"""


def reason_to_skip():
    """(reason, None), or (None, what PyTorch says about itself)."""
    result = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return f"PyTorch cannot be used with {sys.executable}: {last}", None
    found = json.loads(result.stdout.strip().splitlines()[-1])
    if not found["nccl"]:
        return f"this PyTorch ({found['torch']}) has no NCCL", None
    if not found["gpu"]:
        return f"PyTorch {found['torch']} sees no usable GPU", None
    return None, found


def rank_environment(transport, plugin, prefix):
    """What a user would export before torchrun, plus the logs and counters that prove the transport."""
    dropped = {"NCCL_NET", "NCCL_NET_PLUGIN", "NCCL_HOSTID", "WEFT_STATS_FILE"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment.setdefault("NCCL_SOCKET_IFNAME", "lo")
    environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    environment.setdefault("NCCL_MAX_CTAS", "8")
    environment.setdefault("OMP_NUM_THREADS", "2")
    environment.update({
        "NCCL_MNNVL_ENABLE": "0", "NCCL_RAS_ENABLE": "0", "NCCL_NET": NETWORK_NAME[transport],
        "NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV", "NCCL_DEBUG_FILE": f"{prefix}.nccl.%p.log",
    })
    if transport == "weft":
        environment.update({"NCCL_NET_PLUGIN": str(plugin), "NCCL_NET_PLUGIN_REF_COUNT": "1",
                            "WEFT_STATS_FILE": f"{prefix}.counters.%p.json"})
    else:
        environment["NCCL_NET_PLUGIN"] = "none"
    return environment


def descendants(pid):
    """Process ids below `pid`; torchrun gives every rank a session of its own, so no group holds them all."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def stop(process):
    """Ends torchrun and everything below it."""
    below = descendants(process.pid)
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run_to_end(command, environment, output_path, limit_s):
    """Exit status, or None if it had to be killed."""
    with open(output_path, "wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            return process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            stop(process)
            return None
        except BaseException:
            stop(process)
            raise


def read_rows(text):
    """The worker's JSON lines among whatever else torchrun printed: (checks, summary or None)."""
    rows, summary = [], None
    for line in text.splitlines():
        try:
            value = json.loads(line[line.index("{"):])
        except ValueError:
            continue
        if not isinstance(value, dict):
            continue
        if "check" in value:
            rows.append(value)
        elif "checks" in value:
            summary = value
    return rows, summary


def log_problem(text, transport):
    """Why one rank's NCCL log does not show that all its traffic took `transport`, or None."""
    name = NETWORK_NAME[transport]
    used = re.findall(r"Using network (\S+)", text)
    if not used:
        return 'has no line "Using network ..."'
    if {network.lower() for network in used} != {name.lower()}:
        return f"says it used {', '.join(sorted(set(used)))}, not {name}"
    if transport == "weft" and "NET/Weft : Weft " not in text:
        return "lacks the plugin's banner"
    channels = re.findall(r"Channel .* via (\S+)", text)
    if not channels:
        return "shows no channel"
    others = [channel for channel in channels if not channel.lower().startswith(f"net/{name.lower()}/")]
    if others:
        return f"shows {len(others)} channels that went another way, via {others[0]}"
    return None


def bytes_sent(value):
    """The outermost "bytes_sent" of each branch; "totals" alone where the top level has it."""
    if isinstance(value, dict):
        if "totals" in value:
            return bytes_sent(value["totals"])
        if isinstance(value.get("bytes_sent"), int):
            return value["bytes_sent"]
        return sum(bytes_sent(child) for child in value.values())
    if isinstance(value, list):
        return sum(bytes_sent(child) for child in value)
    return 0


def least_wire_bytes(rows, ranks, repetitions):
    """What all ranks together must send at the least for `repetitions` of each collective (DDP's are left out)."""
    edges = {"all_reduce": 2 * (ranks - 1), "all_gather_into_tensor": ranks - 1, "all_to_all_single": ranks - 1}
    return sum(edges.get(row["check"], 0) * row["bytes"] for row in rows) * repetitions


def proof_problem(directory, label, transport, ranks, needed):
    """Why the run's files do not prove the transport, or None; and the bytes that Weft counted."""
    logs = sorted(directory.glob(f"{label}.nccl.*.log"))
    if len(logs) < ranks:
        return f"only {len(logs)} of {ranks} ranks wrote an NCCL log", 0
    for log in logs:
        problem = log_problem(log.read_text(errors="replace"), transport)
        if problem:
            return f"{log} {problem}", 0
    if transport != "weft":
        return None, 0
    counters = sorted(directory.glob(f"{label}.counters.*.json"))
    if len(counters) < ranks:
        return f"only {len(counters)} of {ranks} ranks wrote Weft's counters", 0
    try:
        sent = sum(bytes_sent(json.loads(path.read_text())) for path in counters)
    except ValueError as error:
        return f"a counter file is not JSON: {error}", 0
    if sent < needed:
        return f"Weft counted {sent} bytes sent where at least {needed} were needed", sent
    return None, sent


def run_once(arguments, transport, ranks, directory, limit_s):
    """One torchrun; the result as a dictionary for the report."""
    label = f"torch-{transport}-{ranks}ranks"
    for old in directory.glob(f"{label}.*"):
        old.unlink()
    output_path = directory / f"{label}.out"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
               "--nproc-per-node", str(ranks), str(WORKER), "--sizes", arguments.sizes,
               "--iterations", str(arguments.iterations)]
    environment = rank_environment(transport, arguments.plugin, directory / label)
    print(f"# torchrun --nproc-per-node {ranks}, NCCL_NET={NETWORK_NAME[transport]}", flush=True)
    status = run_to_end(command, environment, output_path, limit_s)
    text = output_path.read_text(errors="replace")
    rows, summary = read_rows(text)
    # Large buffers are repeated twice and once unmeasured; smaller ones at least as often.
    needed = least_wire_bytes(rows, ranks, min(arguments.iterations, 2) + 1)
    sent = 0
    problem = None
    if status is None:
        problem = f"not finished within {limit_s:.0f} s, so all its processes were killed"
    elif status != 0 or summary is None:
        problem = f"torchrun's exit status is {status}"
    if summary is not None and summary["wrong_bytes"] != 0:
        problem = f"{summary['wrong_bytes']} wrong bytes"
    if problem is None:
        problem, sent = proof_problem(directory, label, transport, ranks, needed)
    else:
        print("\n".join("  " + line for line in text.strip().splitlines()[-25:]))
    if problem:
        print(f"# PROBLEM: {problem} (output: {output_path})", flush=True)
    return {"transport": transport, "ranks": ranks, "problem": problem, "rows": rows, "summary": summary,
            "bytes_sent": sent, "bytes_needed": needed if transport == "weft" else 0}


def print_table(results):
    """The transports of one number of ranks side by side."""
    print(f"# {'check':<23} {'type':<9} {'bytes':>10} {'ranks':>5}" +
          "".join(f"  {NETWORK_NAME[result['transport']]:>10} us #wrong" for result in results))
    by_name = [{(row["check"], row["type"], row["bytes"]): row for row in result["rows"]} for result in results]
    keys = list(dict.fromkeys(key for rows in by_name for key in rows))
    for key in keys:
        line = f"  {key[0]:<23} {key[1]:<9} {key[2]:>10} {results[0]['ranks']:>5}"
        for rows in by_name:
            row = rows.get(key)
            time_text = "-" if row is None or row["median_us"] is None else f"{row['median_us']:.1f}"
            line += f"  {time_text:>13} {'-' if row is None else row['wrong_bytes']:>6}"
        print(line)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugin", type=Path, help="libnccl-net-weft.so (needed for the transport weft)")
    parser.add_argument("--ranks", default="2,4", help="comma list")
    parser.add_argument("--transports", default="weft,socket", help="weft, socket")
    parser.add_argument("--sizes", default="8,4096,65544,1048576,16777216,67108864", help="bytes, comma list")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--deadline", type=float, default=420, help="seconds for everything")
    parser.add_argument("--out", type=Path, help="folder for logs and counters; default: a new temporary one")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    arguments.transports = arguments.transports.split(",")
    try:
        arguments.ranks = [int(word) for word in arguments.ranks.split(",")]
        [int(word) for word in arguments.sizes.split(",")]
    except ValueError as error:
        parser.error(f"--ranks and --sizes take comma lists of numbers: {error}")
    if min(arguments.ranks) < 2 or max(arguments.ranks) > 8:
        parser.error("--ranks: each number must be from 2 to 8")
    for transport in arguments.transports:
        if transport not in NETWORK_NAME:
            parser.error(f"--transports: there is no \"{transport}\"; use weft, socket or both")
    if "weft" in arguments.transports:
        if arguments.plugin is None or not arguments.plugin.is_file():
            parser.error(f"--plugin: there is no file {arguments.plugin}")
        arguments.plugin = arguments.plugin.resolve()  # NCCL takes a relative path for a name
    return arguments


def main():
    arguments = parse_arguments()
    reason, found = reason_to_skip()
    if reason:
        print(f"SKIPPED: {reason}")
        return SKIPPED
    print(f"# {found['device']}; PyTorch {found['torch']} (CUDA {found['cuda']}, NCCL {found['nccl_version']})")
    directory = arguments.out or Path(tempfile.mkdtemp(prefix="weft-torch-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    start = time.monotonic()
    results = []
    for ranks in arguments.ranks:
        side_by_side = []
        for transport in arguments.transports:
            left = max(1.0, arguments.deadline - (time.monotonic() - start))
            side_by_side.append(run_once(arguments, transport, ranks, directory, left))
        print_table(side_by_side)
        results += side_by_side
    failed = [result for result in results if result["problem"]]
    if arguments.json:
        arguments.json.write_text(json.dumps({"passed": not failed, **found, "runs": results}, indent=1) + "\n")
    checks = sum(result["summary"]["checks"] for result in results if result["summary"])
    wrong = sum(result["summary"]["wrong_bytes"] for result in results if result["summary"])
    print(f"{'FAIL' if failed else 'PASS'}: {len(results)} torchrun jobs, {len(failed)} failed; {checks} checks, "
          f"{wrong} wrong bytes; Weft's counters show {sum(r['bytes_sent'] for r in results)} bytes sent where at least "
          f"{sum(r['bytes_needed'] for r in results)} were needed; PyTorch {found['torch']}, "
          f"NCCL {found['nccl_version']}")
    return FAIL if failed else PASS


if __name__ == "__main__":
    sys.exit(main())

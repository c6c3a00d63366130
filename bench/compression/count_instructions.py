#!/usr/bin/env python3
"""Counts the instructions that a lane issues for one tile of the codecs' kernels, by what nvcc makes of
tile_kernels.cu (beside this script), and the registers. Needs nvcc and nvdisasm, and no GPU:

    count_instructions.py [--architecture sm_90a] [--mix]

Counted, not measured: nothing here says how long an instruction takes. The loop over a lane's escapes counts once.
What lies behind a kernel's end (traps, in place of ways that a coded tile does not take) does not count. --mix tells
what kinds of instructions they are.
"""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LANES_ELEMENTS = 32  # of a tile of 1,024

FUNCTION = re.compile(r"^\s*\.text\.(\w+):")
INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(@!?U?P\d+\s+)?([A-Z0-9_.]+)")
LABEL = re.compile(r"^\.L_x_\d+:")
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
REGISTERS = re.compile(r"Used (\d+) registers")
PADDING = {"NOP", "BPT.TRAP", "BRA"}


def blocks_of(disassembly):
    """{kernel: its blocks, each a list of (opcode, is it predicated)}"""
    kernels, blocks = {}, None
    for line in disassembly.splitlines():
        if match := FUNCTION.match(line):
            blocks = kernels.setdefault(match[1], [[]])
        elif blocks is not None and LABEL.match(line):
            blocks.append([])
        elif blocks is not None and (match := INSTRUCTION.match(line)):
            blocks[-1].append((match[2], bool(match[1])))
    return kernels


def counted(blocks):
    """Opcodes of all but what only traps, and padding. Parts end at labels and at branches."""
    result = []
    for block in blocks:
        part = []
        for opcode, predicated in block + [("", False)]:
            part.append(opcode)
            if opcode.split(".")[0] not in ("", "EXIT", "BRA", "BPT"):
                continue
            traps = part[-1].startswith("BPT") or set(part) <= {"BRA", "EXIT", ""} and result and result[-1] == "trap"
            if part[-1].startswith("BPT") and not predicated:
                result.append("trap")
            elif not traps:
                result += [o for o in part if o not in ("", "NOP")]
            part = []
    return [o for o in result if o != "trap"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(map(str, command))}\n{done.stderr or done.stdout}")
    return done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--architecture", default="sm_90a")
    parser.add_argument("--mix", action="store_true", help="Also the kinds of instructions")
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    parser.add_argument("--nvdisasm", default=shutil.which("nvdisasm") or "/usr/local/cuda/bin/nvdisasm")
    options = parser.parse_args()
    for tool in (options.nvcc, options.nvdisasm):
        if shutil.which(tool) is None:
            print(f"SKIPPED: there is no {tool}; name it with --nvcc or --nvdisasm (both come with the CUDA toolkit).")
            return 77
    with tempfile.TemporaryDirectory() as folder:
        cubin = pathlib.Path(folder) / "tiles.cubin"
        report = run([options.nvcc, "-std=c++20", "-O3", f"-I{ROOT}", f"-I{ROOT / 'include'}", "-arch",
                      options.architecture, "-cubin", "-Xptxas", "-v",
                      ROOT / "bench/compression/tile_kernels.cu", "-o", cubin])
        kernels = blocks_of(run([options.nvdisasm, "-c", cubin]))
    registers, entry = {}, None
    for line in report.splitlines():
        if match := ENTRY.search(line):
            entry = match[1]
        elif entry and (match := REGISTERS.search(line)):
            registers[entry] = int(match[1])
    if not kernels:
        sys.exit("FAILED: no kernel was found in what nvdisasm wrote.")
    print(f"{options.architecture}, counted in SASS        instructions  an element  registers")
    for name in sorted(kernels):
        opcodes = counted(kernels[name])
        print(f"{name:<34} {len(opcodes):>10} {len(opcodes) / LANES_ELEMENTS:>11.2f} {registers.get(name, 0):>10}")
        if options.mix:
            mix = collections.Counter(o.split(".")[0] for o in opcodes)
            print("    " + ", ".join(f"{kind} {count}" for kind, count in mix.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

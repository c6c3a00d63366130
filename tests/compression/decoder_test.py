#!/usr/bin/env python3
"""decoder_test.py WRITE_SLOTS: the decoder that was written from FORMAT.md reads what the library writes."""

import collections
import ctypes
import pathlib
import subprocess
import sys
import tempfile

import decoder

ZSTD = ctypes.CDLL("libzstd.so.1")
ZSTD.ZSTD_isError.argtypes = [ctypes.c_size_t]
ZSTD.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
ZSTD.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
ZSTD.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t


def unzstd(data, count):
    frame = ZSTD.ZSTD_findFrameCompressedSize(data, len(data))
    decoder.need(not ZSTD.ZSTD_isError(frame) and len(data) - frame < 4, "zstd frame")
    content = ctypes.create_string_buffer(count)
    written = ZSTD.ZSTD_decompress(content, count, data, frame)
    decoder.need(not ZSTD.ZSTD_isError(written), "content of a zstd frame")
    return content.raw[:written]


def archived_bytes(slot):
    """How the pieces of a slot of bytes at level archive are coded: (raw, constant or coded; is it the last)."""
    if slot[3] != decoder.ARCHIVE or slot[4] != decoder.BYTES:
        return []
    pieces = (int.from_bytes(slot[8:16], "little") + 262143) // 262144
    return [(("raw", "constant", "coded")[slot[35 + 4 * i] >> 6], i == pieces - 1) for i in range(pieces)]


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        slots = sorted(pathlib.Path(folder).glob("*.slot"))
        assert len(slots) > 200, f"only {len(slots)} slots were written"
        kinds = collections.Counter()
        for path in slots:
            slot = path.read_bytes()
            payload = path.with_suffix("").with_suffix(".payload").read_bytes()
            assert decoder.decode(slot, unzstd) == payload, f"{path.name} holds something else"
            kinds.update(archived_bytes(slot))
            if len(slot) > 48:
                try:
                    decoder.decode(slot[:-4], unzstd)
                except decoder.Refused:
                    continue
                raise AssertionError(f"{path.name} was read although its end is missing")
        for kind in ("raw", "constant", "coded"):
            for last in (False, True):
                assert kinds[kind, last], f"bytes of unknown type: no {kind} piece that is {'' if last else 'not '}the last"
        print(f"{len(slots)} slots read; pieces of bytes: {dict(kinds)}")


if __name__ == "__main__":
    main()

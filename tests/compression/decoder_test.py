#!/usr/bin/env python3
"""decoder_test.py WRITE_SLOTS: the decoder that was written from FORMAT.md reads what the library writes."""

import pathlib
import subprocess
import sys
import tempfile

import decoder


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        slots = sorted(pathlib.Path(folder).glob("*.slot"))
        assert len(slots) > 200, f"only {len(slots)} slots were written"
        for path in slots:
            slot = path.read_bytes()
            payload = path.with_suffix("").with_suffix(".payload").read_bytes()
            assert decoder.decode(slot) == payload, f"{path.name} holds something else"
            if len(slot) > 48:
                try:
                    decoder.decode(slot[:-4])
                except decoder.Refused:
                    continue
                raise AssertionError(f"{path.name} was read although its end is missing")
        print(f"{len(slots)} slots read")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""chunks_go_coded.py LEVEL LEAST_SHARE COMMAND...: runs a command with WEFT_COMPRESS=LEVEL, which must end well, and
reads the counters of all its processes: of what they sent, at least this share (0.5: half of the bytes) must have gone
coded, and smaller. What arrives is the command's to check."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile


def main():
    level, least_share, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "WEFT_COMPRESS": level, "WEFT_STATS_FILE": f"{folder}/%p.json"}
        status = subprocess.run(command, env=environment, check=False).returncode
        if status != 0:
            print(f"FAILED: {command[0]} ended with status {status}")
            return 1
        totals = [json.loads(path.read_text())["totals"] for path in pathlib.Path(folder).glob("*.json")]
    sent, chunks, coded, plain, wire = (
        sum(one[name] for one in totals) for name in ("bytes_sent", "chunks_sent", "chunks_sent_coded",
                                                      "plain_bytes_sent_coded", "wire_bytes_sent_coded"))
    print(f"{level}: {len(totals)} processes sent {sent} bytes; {coded} of {chunks} chunks went coded, {plain} bytes as {wire}")
    if coded == 0 or plain < least_share * sent or wire >= plain:
        print(f"FAILED: at least {least_share:.0%} of the bytes must go coded, and smaller")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

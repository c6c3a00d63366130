"""Runs inside an emulated machine until it is killed: what has each plane brought to this host? The kernel's byte counters every
few milliseconds, a line each: seconds of the guest's clock, bytes of plane 0, 1, ...
"""

import sys
import time

planes, interval_s = int(sys.argv[1]), float(sys.argv[2])
files = [open(f"/sys/class/net/p{plane}/statistics/rx_bytes", "rb", buffering=0) for plane in range(planes)]
while True:
    counted = []
    for file in files:
        file.seek(0)
        counted.append(file.read().decode().strip())
    print(f"{time.monotonic():.4f}", *counted, flush=True)
    time.sleep(interval_s)

"""How fast the processor's time stamp counter runs. An emulated machine reads the host's; told its rate, it has no need
to find it out, which goes wrong by a factor of four when the host is busy: all its clocks would run so much too fast.
"""

import ctypes
import mmap
import time

_READ_COUNTER = bytes.fromhex("0f31"       # rdtsc: the halves in edx and eax
                              "48c1e220"   # shl rdx, 32
                              "4809d0"     # or rax, rdx
                              "c3")        # ret


def counter_khz(duration_s: float = 0.05) -> int | None:
    """None where it cannot be read."""
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    code.write(_READ_COUNTER)
    read_counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def read_both() -> tuple[int, int]:
        """The same moment on both clocks: of several tries the one that was interrupted least."""
        tries = []
        for _ in range(20):
            before = time.monotonic_ns()
            counter = read_counter()
            after = time.monotonic_ns()
            tries.append((after - before, before, counter))
        _, moment, counter = min(tries)
        return moment, counter

    start_ns, start = read_both()
    time.sleep(duration_s)
    end_ns, end = read_both()
    return round((end - start) * 1_000_000 / (end_ns - start_ns))

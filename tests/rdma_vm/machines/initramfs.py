"""The first file system of a machine: busybox, our scripts in guest/, and the kernel's modules. The rest of what a
machine runs comes from the host's own root folder, read-only.
"""

import os
import shutil
import stat
from pathlib import Path

from .failure import NotAvailable
from .kernel import Kernel

GUEST_SCRIPTS = Path(__file__).resolve().parent.parent / "guest"
_FOLDERS = ("bin", "dev", "proc", "sys", "run", "modules", "guest", "control", "host", "ram", "root")


def write_initramfs(target: Path, kernel: Kernel) -> None:
    busybox = shutil.which("busybox") or ""
    if not os.access(busybox, os.X_OK) or _is_dynamic(busybox):
        raise NotAvailable("no static busybox is here (Debian package busybox-static)")
    with open(target, "wb") as out:
        archive = _Archive(out)
        for folder in _FOLDERS:
            archive.add(folder, stat.S_IFDIR | 0o755, b"")
        archive.add("bin/busybox", stat.S_IFREG | 0o755, Path(busybox).read_bytes())
        archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
        for script in sorted(GUEST_SCRIPTS.iterdir()):
            archive.add(f"guest/{script.name}", stat.S_IFREG | 0o755, script.read_bytes())
        archive.add("init", stat.S_IFLNK | 0o777, b"guest/init")
        for module in kernel.modules:
            archive.add(f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
        archive.close()


def _is_dynamic(program: str) -> bool:
    with open(program, "rb") as opened:
        return b"/ld-linux" in opened.read(4096)


class _Archive:
    """Writes cpio's "newc" format, which the kernel unpacks: a header of hexadecimal fields, the name and the content,
    each padded to four bytes.
    """

    def __init__(self, out):
        self._out = out
        self._inode = 0

    def add(self, name: str, mode: int, content: bytes) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._write_padded(header + encoded)
        self._write_padded(content)

    def close(self) -> None:
        self.add("TRAILER!!!", 0, b"")

    def _write_padded(self, data: bytes) -> None:
        self._out.write(data + b"\0" * (-len(data) % 4))

"""Debian's kernel with SoftRoCE, made ready to boot: the unpacked vmlinux and the few modules that the machines load.

They are kept in ~/.cache/weft/rdma_vm (or below XDG_CACHE_HOME), a folder for each kernel and list of modules, about
70 MB. They come from a kernel that is installed, or from the newest package, which is downloaded and unpacked but not
installed: a kernel in /boot is the computer's own affair.
"""

import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from .failure import MachineError, NotAvailable

# In the order in which they are loaded; what they depend on goes before them. rdma_rxe takes its checksum from
# crc32_generic and does not say so.
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_net", "veth", "crc32_generic",
           "ib_uverbs", "rdma_ucm", "rdma_rxe", "sch_netem", "sch_tbf", "sch_prio", "cls_u32")
META_PACKAGE = "linux-image-amd64"


@dataclass(frozen=True)
class Kernel:
    release: str  # as `uname -r` says it
    image: Path
    modules: tuple[Path, ...]  # in the order in which to load them


def find_kernel() -> Kernel:
    """The newest kernel that is ready, or can be made so from what is installed."""
    ready = sorted(_cache().glob(f"*-{_list_key()}"), key=_version_key)
    installed = sorted(Path("/boot").glob("vmlinuz-*"), key=_version_key)
    for image in reversed(installed):
        release = image.name.removeprefix("vmlinuz-")
        folder = Path("/lib/modules") / release
        if os.access(image, os.R_OK) and any(folder.rglob("rdma_rxe.ko*")):
            return _open(_cache_folder(release)) or _prepare(release, image, folder)
    if ready and (kernel := _open(ready[-1])):
        return kernel
    raise NotAvailable("no Debian kernel with the module rdma_rxe is here; tests/rdma_vm/run --fetch-kernel downloads "
                       f"one (70 MB to download, 70 MB kept in {_cache()}) without installing it")


def fetch_kernel() -> Kernel:
    """Downloads the newest kernel package, unless it is here already."""
    package = _newest_package()
    release = package.removeprefix("linux-image-")
    if kernel := _open(_cache_folder(release)):
        return kernel
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_cache(), prefix="fetch-") as scratch:
        _run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=scratch)
        archive = next(Path(scratch).glob("*.deb"))
        root = Path(scratch) / "root"
        _run(["dpkg-deb", "--extract", str(archive), str(root)])
        return _prepare(release, root / "boot" / f"vmlinuz-{release}", root / "lib/modules" / release)


def _newest_package() -> str:
    def depends() -> list[str]:
        shown = subprocess.run(["apt-cache", "depends", "--important", META_PACKAGE], capture_output=True, text=True,
                               check=False)
        return re.findall(r"Depends: (linux-image-\S+)", shown.stdout)

    if shutil.which("apt-get") is None:
        raise NotAvailable("only Debian's kernel packages can be fetched, and there is no apt-get here")
    found = depends()
    if not found:
        _run(["apt-get", "-qq", "update"])
        found = depends()
    if not found:
        raise NotAvailable(f"apt knows no package {META_PACKAGE}")
    return found[0]


# --- making it ready ------------------------------------------------------------------------------------------


def _prepare(release: str, image: Path, folder: Path) -> Kernel:
    target = _cache_folder(release)
    _cache().mkdir(parents=True, exist_ok=True)
    # Whoever comes at the same time does the same; the rename decides, and a half-made folder is never seen.
    scratch = Path(tempfile.mkdtemp(dir=_cache(), prefix="prepare-"))
    try:
        _unpack_image(image.read_bytes(), scratch / "vmlinux")
        for number, (name, content) in enumerate(_loading_order(folder)):
            (scratch / f"{number:02}-{name}.ko").write_bytes(content)
        scratch.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _open(target)


def _open(folder: Path) -> Kernel | None:
    if not folder.is_dir():
        return None
    return Kernel(folder.name.rpartition("-")[0], folder / "vmlinux", tuple(sorted(folder.glob("*.ko"))))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "weft" / "rdma_vm"


def _cache_folder(release: str) -> Path:
    return _cache() / f"{release}-{_list_key()}"


def _list_key() -> str:
    return hashlib.sha256(" ".join(MODULES).encode()).hexdigest()[:8]


def _version_key(path: Path) -> list[tuple[int, str]]:
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _unpack_image(image: bytes, target: Path) -> None:
    """A bzImage would unpack itself at each boot, which takes seconds when the processor is emulated. Its header says
    where in it the kernel lies (Linux' boot protocol 2.08): setup_sects, payload_offset, payload_length.
    """
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start:start + length]
    vmlinux = _decompress(payload)
    if not vmlinux.startswith(b"\x7fELF"):
        raise MachineError(f"the kernel image holds no ELF file where its header says (offset {start})")
    target.write_bytes(vmlinux)


def _decompress(data: bytes) -> bytes:
    """By its magic number. In a kernel image four bytes with the unpacked size follow."""
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        if shutil.which("zstd") is None:
            raise NotAvailable("this kernel is compressed with zstd, which is not installed (Debian package zstd)")
        # zstd complains of those four bytes after it has written all that precedes them.
        return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False).stdout
    return data


def _loading_order(folder: Path) -> list[tuple[str, bytes]]:
    """MODULES and what they depend on, each once, each behind what it needs."""
    files = {_module_name(path): path for path in folder.rglob("*.ko*")}
    built_in = {_module_name(Path(line)) for line in (folder / "modules.builtin").read_text().split()}
    loaded = {}

    def load(name: str, required: bool) -> None:
        if name in loaded or name in built_in:
            return
        if name not in files:
            if required:
                raise MachineError(f"the kernel in {folder} has no module {name}")
            return
        content = _module_content(files[name])
        loaded[name] = None  # two modules may name each other in "softdep"
        information = dict.fromkeys(re.findall(rb"(?<=\0)(depends|softdep)=([^\0]*)\0", b"\0" + content))
        for key, value in information:
            for needed in re.split(r"[,\s]+", value.decode()):
                if needed and needed not in ("pre:", "post:"):
                    load(needed.replace("-", "_"), required=key == b"depends")
        loaded[name] = content
        order.append(name)

    order = []
    for module in MODULES:
        load(module, required=True)
    return [(name, loaded[name]) for name in order]


def _module_name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _module_content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return data if path.suffix == ".ko" else _decompress(data)


def _run(argv: list[str], cwd: str | None = None) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotAvailable(f"`{' '.join(argv)}` failed: {done.stderr.strip() or f'exit status {done.returncode}'}")

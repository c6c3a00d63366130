"""What docs/architecture.md says about the source tree, as a check: who may include what, names and sizes.

check(root) gives one line for each fault. Nothing is built: the includes are read from the files.
"""

import dataclasses
import os
import pathlib
import re

TOP_FOLDERS = ("include", "transport", "compression", "algorithms", "plugins", "bench", "examples", "tests")
SOURCE_SUFFIXES = (".h", ".cc", ".c", ".cu", ".cuh", ".py", ".sh", "")
C_SUFFIXES = (".h", ".cc", ".c", ".cu", ".cuh")
MAX_LINES = 500
LONG_FILES = {}  # path: why it may be longer
VAGUE_NAME = re.compile(r"(^|[_.-])(utils?|common|misc|helpers?)([_.-]|$)")

# What a folder may include of ours besides itself; the first prefix that fits a file counts. Tests may include
# anything.
MAY_INCLUDE = (
    ("include/weft/", ("weft/",)),
    ("transport/multipath/", ("weft/",)),
    ("transport/sim/", ("transport/multipath/", "weft/")),
    ("transport/engine/", ("transport/multipath/", "weft/")),
    ("transport/bootstrap/", ("weft/",)),
    # Payloads of byte streams pass through the processor anyway, so here they can be coded.
    ("transport/tcp/", ("compression/", "transport/engine/", "transport/multipath/", "transport/process/", "weft/")),
    # Paths over verbs and UCX are dialled by TCP's handshake.
    ("transport/verbs/", ("transport/engine/", "transport/multipath/", "transport/process/", "transport/tcp/", "weft/")),
    ("transport/ucx/", ("transport/engine/", "transport/multipath/", "transport/process/", "transport/tcp/", "weft/")),
    # context and fabric, where backends are made and handed to the engine.
    ("transport/", ("compression/", "transport/", "weft/")),
    ("compression/", ("weft/",)),
    ("algorithms/", ("compression/", "weft/")),
    ("plugins/", ("weft/",)),
    # `weft sim` shows the simulator, which has no public face.
    ("bench/sim/", ("bench/", "transport/sim/", "weft/")),
    # `weft conform` loads net plugins, whose tables these headers declare; it links nothing of ours.
    ("bench/conform/", ("bench/", "plugins/nccl_net/abi/", "weft/")),
    ("bench/", ("algorithms/", "bench/", "compression/", "weft/")),
    ("examples/", ("weft/",)),
)
GENERATED = {"weft_commit.h"}  # made in the build tree

# Folders that must build where there is no such hardware, library or operating system interface.
PORTABLE = ("include/weft/", "transport/multipath/", "compression/", "algorithms/", "plugins/")
PORTABLE_EXCEPT = ("compression/cuda/", "algorithms/cuda/", "include/weft/device/")
PLATFORM_HEADER = re.compile(
    r"^(sys/(socket|epoll|uio|ioctl|un|select)\.h|poll\.h|netdb\.h|ifaddrs\.h|(arpa|net|netinet|linux|infiniband|rdma)/"
    r"|(cuda|nccl|nvml|hip|rccl)|(ucp|uct|ucs)/)")
# The state machines have neither a clock nor a thread nor chance in them: what a test does, it can do again.
PURE = ("transport/multipath/",)
IMPURE_HEADER = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|future|atomic|random|ctime|time\.h|pthread\.h|unistd\.h|sys/.*"
    r"|iostream|fstream|cstdio|stdio\.h)$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Include:
    file: str  # from the root
    header: str
    quoted: bool


def source_files(root):
    for top in TOP_FOLDERS:
        for folder, folders, names in os.walk(root / top):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
            for name in sorted(names):
                yield pathlib.Path(folder, name).relative_to(root).as_posix()


def includes_of(root, file):
    text = (root / file).read_text(encoding="utf-8")
    return [Include(file, quoted or angled, bool(quoted)) for quoted, angled in INCLUDE.findall(text)]


def is_ours(root, include):
    return include.quoted or include.header.startswith("weft/")


def resolve(root, header):
    """The file of the tree that an include names, or None. Ours are written from the root, or as weft/..."""
    path = f"include/{header}" if header.startswith("weft/") else header
    return path if (root / path).is_file() else None


def include_faults(root, include):
    file, header = include.file, include.header
    if is_ours(root, include):
        if header in GENERATED:
            return
        if resolve(root, header) is None:
            yield f'{file}: #include "{header}": no such file; includes are written from the root of the tree'
            return
        prefix, allowed = next(((p, a) for p, a in MAY_INCLUDE if file.startswith(p)), ("", None))
        own = os.path.dirname(prefix) + "/"
        if allowed is not None and not header.startswith(allowed + (own,)):
            yield f'{file}: #include "{header}": {prefix} may include only {", ".join((own,) + allowed)}'
    else:
        portable = file.startswith(PORTABLE) and not file.startswith(PORTABLE_EXCEPT)
        if portable and PLATFORM_HEADER.match(header):
            yield f"{file}: #include <{header}>: no socket, verbs, CUDA or UCX header in this folder"
        if file.startswith(PURE) and IMPURE_HEADER.match(header):
            yield f"{file}: #include <{header}>: no clock, thread, random source or file in this folder"


def node_of(file):
    """A folder; but a program's main file stands above the folder that it lies in."""
    return file if file.endswith("_main.cc") else os.path.dirname(file)


def cycle_faults(root, includes):
    edges = {}
    for include in includes:
        target = resolve(root, include.header) if is_ours(root, include) else None
        if target is not None and node_of(target) != node_of(include.file):
            edges.setdefault(node_of(include.file), {})[node_of(target)] = include
    state = {}

    def visit(node, trail):
        state[node] = "open"
        for target, include in sorted(edges.get(node, {}).items()):
            if state.get(target) == "open":
                cycle = trail[trail.index(target):] + [target]
                yield f'{include.file}: #include "{include.header}" closes a cycle of folders: {" -> ".join(cycle)}'
            elif target not in state:
                yield from visit(target, trail + [target])
        state[node] = "done"

    for node in sorted(edges):
        if node not in state:
            yield from visit(node, [node])


def name_and_size_faults(root, file):
    for part in pathlib.PurePosixPath(file).parts:
        if VAGUE_NAME.search(part.lower()):
            yield f"{file}: {part} does not say what it is for"
    if pathlib.PurePosixPath(file).suffix in SOURCE_SUFFIXES and "/corpus/" not in file:
        with open(root / file, "rb") as opened:
            lines = sum(1 for _ in opened)
        if lines > MAX_LINES and file not in LONG_FILES:
            yield f"{file}: {lines} lines; {MAX_LINES} are the limit"


def check(root):
    root = pathlib.Path(root)
    files = list(source_files(root))
    includes = [include for file in files if file.endswith(C_SUFFIXES) for include in includes_of(root, file)]
    faults = [fault for file in files for fault in name_and_size_faults(root, file)]
    faults += [fault for include in includes for fault in include_faults(root, include)]
    faults += cycle_faults(root, [include for include in includes if not include.file.startswith("tests/")])
    return faults

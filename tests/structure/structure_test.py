"""The tree keeps to docs/architecture.md, and the check that says so finds what is planted in a small tree."""

import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import structure  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]

SOUND = {
    "include/weft/status.h": "#include <string>\n",
    "transport/multipath/path.h": '#include <vector>\n#include "weft/status.h"\n',
    "transport/engine/link.h": '#include "transport/multipath/path.h"\n',
    "transport/engine/interface_filter.h": '#include "weft/status.h"\n',
    "transport/tcp/interfaces.h": '#include "transport/engine/interface_filter.h"\n',
    "transport/tcp/socket.cc": '#include <sys/socket.h>\n#include "transport/multipath/path.h"\n',
    "transport/context.cc": '#include "transport/engine/link.h"\n#include "transport/tcp/interfaces.h"\n',
    "transport/sim/host.h": '#include "transport/multipath/path.h"\n',
    "plugins/nccl_net/abi/types.h": "#include <cstddef>\n",
    "algorithms/ring.h": "#include <weft/status.h>\n",
    "bench/version.h": "",
    "bench/perf/perf.h": '#include "bench/version.h"\n#include "algorithms/ring.h"\n',
    "bench/weft_main.cc": '#include "bench/perf/perf.h"\n',
    "tests/any_test.cc": '#include "transport/multipath/path.h"\n#include "transport/context_test.h"\n',
    "transport/context_test.h": "",
}

# name of the fault: (file, text that is planted, words of the report)
PLANTED = {
    "core includes a backend": ("transport/multipath/a.cc", '#include "transport/tcp/interfaces.h"', "may include only"),
    "core includes the engine": ("transport/multipath/a.cc", '  #  include "transport/engine/link.h"', "may include only"),
    "engine includes a backend": ("transport/engine/a.cc", '#include "transport/tcp/interfaces.h"', "may include only"),
    "backend includes the root": ("transport/tcp/a.cc", '#include "transport/context_test.h"', "may include only"),
    "simulator includes a backend": ("transport/sim/a.cc", '#include "transport/tcp/interfaces.h"', "may include only"),
    "algorithm includes a transport": ("algorithms/a.cc", '#include "transport/multipath/path.h"', "may include only"),
    "plugin includes a transport": ("plugins/x/a.cc", '#include "transport/engine/link.h"', "may include only"),
    "command includes a transport": ("bench/perf/a.cc", '#include "transport/engine/link.h"', "may include only"),
    "command includes the simulator": ("bench/perf/a.cc", '#include "transport/sim/host.h"', "may include only"),
    "public header includes a transport": ("include/weft/a.h", '#include "transport/engine/link.h"', "may include only"),
    "example includes an inner header": ("examples/a.cc", '#include "algorithms/ring.h"', "may include only"),
    "socket in the core": ("transport/multipath/a.cc", "#include <sys/socket.h>", "no socket"),
    "socket in a public header": ("include/weft/a.h", "#include <netinet/in.h>", "no socket"),
    "verbs in an algorithm": ("algorithms/a.cc", "#include <infiniband/verbs.h>", "no socket"),
    "CUDA in a plugin": ("plugins/x/a.cc", "#include <cuda_runtime.h>", "no socket"),
    "UCX in compression": ("compression/a.cc", "#include <ucp/api/ucp.h>", "no socket"),
    "thread in the core": ("transport/multipath/a.cc", "#include <thread>", "no clock"),
    "chance in the core": ("transport/multipath/a.cc", "#include <random>", "no clock"),
    "header that is not there": ("bench/a.cc", '#include "bench/gone.h"', "no such file"),
    "include from its own folder": ("transport/engine/a.cc", '#include "link.h"', "no such file"),
    "public header that is not there": ("bench/a.cc", "#include <weft/gone.h>", "no such file"),
    "cycle of folders": ("bench/version.cc", '#include "bench/perf/perf.h"', "closes a cycle"),
    "vague file": ("algorithms/string_utils.h", "", "does not say"),
    "vague folder": ("transport/common/a.h", "", "does not say"),
    "long file": ("algorithms/long.cc", "int i;\n" * 501, "501 lines"),
    "long script": ("tests/long.py", "pass\n" * 501, "501 lines"),
}


class PlantedFaults(unittest.TestCase):
    def faults_of(self, tree):
        with tempfile.TemporaryDirectory() as folder:
            for file, text in tree.items():
                path = pathlib.Path(folder, file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return structure.check(folder)

    def test_a_sound_tree_has_none(self):
        self.assertEqual(self.faults_of(SOUND), [])

    def test_each_is_found_where_it_is(self):
        for name, (file, text, words) in PLANTED.items():
            with self.subTest(name):
                faults = self.faults_of({**SOUND, file: text})
                found = [fault for fault in faults if words in fault]
                self.assertEqual(len(found), 1, faults)
                if "cycle" not in name:  # which may be reported at any of its edges
                    self.assertTrue(found[0].startswith(f"{file}: "), found)


class TheTree(unittest.TestCase):
    def test_is_really_looked_at(self):
        files = list(structure.source_files(ROOT))
        for prefix, _ in structure.MAY_INCLUDE:
            if prefix.startswith(("include", "transport", "algorithms", "plugins", "bench/conform")):
                self.assertTrue(any(file.startswith(prefix) for file in files), f"nothing is in {prefix}")
        self.assertGreater(len(structure.includes_of(ROOT, "transport/context.cc")), 3)

    def test_keeps_to_the_architecture(self):
        faults = structure.check(ROOT)
        self.assertFalse(faults, "\n" + "\n".join(faults))


if __name__ == "__main__":
    unittest.main()

"""The program in the README is the one that is built and run (tests/install), to the letter."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Readme(unittest.TestCase):
    def test_shows_the_example(self):
        blocks = re.findall(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        example = (ROOT / "examples" / "all_reduce.cc").read_text(encoding="utf-8")
        self.assertEqual(blocks, [example[example.index("#include"):]])


class NcclGuide(unittest.TestCase):
    def test_banner_has_the_default_of_the_peer_timeout(self):
        config = (ROOT / "include" / "weft" / "config.h").read_text(encoding="utf-8")
        default = re.search(r"peer_timeout\{(\d+)\}", config).group(1)
        guide = (ROOT / "docs" / "nccl.md").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"a peer silent for (\d+) ms is lost", guide), [default])

    def test_nccl_versions_are_those_of_the_readme(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        guide = (ROOT / "docs" / "nccl.md").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"NCCL (2\.\d+ to 2\.\d+)", readme), re.findall(r"serves NCCL (2\.\d+ to 2\.\d+)", guide))


if __name__ == "__main__":
    unittest.main()

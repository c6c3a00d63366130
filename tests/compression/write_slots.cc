// Writes slots and what they hold for decoder_test.py: write_slots FOLDER.
#include <cstdio>
#include <fstream>
#include <string>

#include "compression/slot/codec.h"
#include "tests/compression/element_samples.h"

using namespace weft::compression;

namespace {

void write(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (const Sample& sample : samples()) {
    const std::string name = std::string(argv[1]) + "/" + sample.name;
    write(name + ".payload", sample.bytes);
    for (int level = 0; level < kLevels; ++level) {
      std::vector<std::byte> slot(
          max_slot_bytes(sample.type, static_cast<Level>(level), sample.bytes.size()));
      const auto bytes = pack(sample.bytes, sample.type, static_cast<Level>(level), slot);
      if (!bytes) return std::puts(bytes.status().message().c_str()), 1;
      write(name + "." + std::to_string(level) + ".slot", std::span(slot).first(*bytes));
    }
  }
  return 0;
}

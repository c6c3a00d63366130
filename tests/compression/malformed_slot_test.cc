// Slots that a peer or a cable has spoilt: refused in words or decoded to something, never read beyond their
// end. The sanitizers watch; tests/fuzz goes on where this stops.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "compression/slot/codec.h"
#include "tests/compression/element_samples.h"
#include "tests/compression/implementations.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

using Slot = std::vector<std::byte>;

// From memory that ends where the slot does.
Status unpack_exactly(const Slot& slot, std::size_t payload_bytes,
                      const cpu::TileKernels& kernels = cpu::tile_kernels()) {
  const auto copy = std::make_unique<std::byte[]>(slot.size());
  std::copy(slot.begin(), slot.end(), copy.get());
  std::vector<std::byte> payload(payload_bytes);
  return unpack({copy.get(), slot.size()}, payload, kernels);
}

TEST(MalformedSlot, IsRefusedInWords) {
  const auto payload = gaussian(ElementType::kBfloat16, 2048, 1, 1);
  const Slot good = packed(payload, ElementType::kBfloat16, Level::kDense);
  struct Fault {
    const char* words;
    std::function<void(Slot&)> make;
  };
  // The first tile begins at 48; its fixed part has 4 + 1024 + 384 bytes.
  const Fault faults[] = {
      {"its header alone has 32", [](Slot& s) { s.resize(31); }},
      {"does not begin with WC", [](Slot& s) { s[0] = std::byte{'w'}; }},
      {"version 2", [](Slot& s) { s[2] = std::byte{2}; }},
      {"level 4 is unknown", [](Slot& s) { s[3] = std::byte{4}; }},
      {"element type 6 is unknown", [](Slot& s) { s[4] = std::byte{6}; }},
      {"reserved bytes", [](Slot& s) { s[31] = std::byte{1}; }},
      {"cannot have level dense", [](Slot& s) { s[4] = std::byte{0}; }},
      {"larger than 1 TiB", [](Slot& s) { s[14] = std::byte{1}; }},
      {"only", [](Slot& s) { s.pop_back(); }},
      {"ends within its table", [](Slot& s) { s[16] = std::byte{40}, s[17] = std::byte{0}; }},
      {"where 4096 are expected", [](Slot& s) { s[9] = std::byte{8}; }},
      {"does not end within the slot", [](Slot& s) { s[33] = std::byte{0xbf}; }},
      {"its kind is unknown", [](Slot& s) { s[33] |= std::byte{0xc0}; }},
      {"raw and has another size", [](Slot& s) { s[33] &= std::byte{0x3f}; }},
      {"constant and has another size", [](Slot& s) { s[33] = (s[33] & std::byte{0x3f}) | std::byte{0x40}; }},
      {"shorter than its planes", [](Slot& s) { s[32] = std::byte{10}, s[33] = std::byte{0x80}; }},
      {"window lies outside", [](Slot& s) { s[48] = std::byte{250}; }},
      {"reserved byte", [](Slot& s) { s[49] = std::byte{1}; }},
      {"more escapes than a tile may have", [](Slot& s) { s[51] = std::byte{2}; }},
      {"list of escapes", [](Slot& s) { s[50] = std::byte{200}; }},
      {"another number of escapes", [](Slot& s) { s[48 + 4 + 1024] |= std::byte{7}; }},
      {"left over",
       [](Slot& s) {
         s.insert(s.end(), 4, std::byte{0}), s[16] = std::byte(std::to_integer<int>(s[16]) + 4);
       }},
  };
  ASSERT_TRUE(unpack_exactly(good, payload.size()));
  for (const Fault& fault : faults) {
    Slot bad = good;
    fault.make(bad);
    const Status status = unpack_exactly(bad, payload.size());
    EXPECT_EQ(status.code(), StatusCode::kProtocolError) << fault.words;
    EXPECT_NE(status.message().find(fault.words), std::string::npos)
        << fault.words << ": " << status.message();
  }
}

TEST(MalformedSlot, MayEndAnywhere) {
  for (const Level level : {Level::kRaw, Level::kFast, Level::kDense, Level::kArchive}) {
    const auto payload = gaussian(ElementType::kBfloat16, 3 * 1024 + 5, 1, 2);
    const Slot good = packed(payload, ElementType::kBfloat16, level);
    for (std::size_t bytes = 0; bytes < good.size(); bytes += bytes < 80 ? 1 : 97) {
      Slot cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
      EXPECT_FALSE(unpack_exactly(cut, payload.size()));
      if (bytes < kSlotHeaderBytes) continue;
      for (std::size_t i = 0; i < 8; ++i) cut[16 + i] = static_cast<std::byte>(bytes >> (8 * i) & 0xff);
      EXPECT_FALSE(unpack_exactly(cut, payload.size())) << to_string(level) << " " << bytes;
    }
  }
}

TEST(MalformedSlot, MayHoldAnything) {
  SplitMix random(3);
  for (const Sample& sample : samples()) {
    if (sample.bytes.size() > 20000) continue;
    for (const Level level : {Level::kFast, Level::kDense, Level::kArchive}) {
      const Slot good = packed(sample.bytes, sample.type, level);
      for (int round = 0; round < 6; ++round) {
        Slot bad = good;
        for (int changes = 0; changes < 1 + round; ++changes) {
          const std::size_t where =
              random.next() % (changes % 2 == 0 ? std::min<std::size_t>(bad.size(), 64) : bad.size());
          bad[where] = static_cast<std::byte>(random.next() >> 56);
        }
        std::vector<std::string> said;
        for (const cpu::TileKernels* kernels : implementations())
          said.push_back(unpack_exactly(bad, sample.bytes.size(), *kernels).message());
        for (const std::string& words : said) EXPECT_EQ(words, said.front());
      }
    }
  }
}

}  // namespace
}  // namespace weft::compression

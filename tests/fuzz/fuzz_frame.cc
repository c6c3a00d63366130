// Frame headers from a hostile peer. Input: one byte (bit 0: mend magic, version and checksum; bit 1: coded
// payloads are agreed on), then 64 bytes.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tests/fuzz/require.h"
#include "transport/multipath/crc32c.h"
#include "transport/multipath/frame.h"

using namespace weft::multipath;
using weft::fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::array<std::byte, kHeaderBytes> bytes{};
  std::memcpy(bytes.data(), data + 1, std::min(size - 1, bytes.size()));
  if ((data[0] & 1) != 0) {
    bytes[0] = std::byte{'W'};
    bytes[1] = std::byte{'F'};
    bytes[2] = static_cast<std::byte>(kFrameVersion);
    const std::uint32_t crc = crc32c(0, bytes.data(), kHeaderBytes - 4);
    for (std::size_t i = 0; i < 4; ++i)
      bytes[kHeaderBytes - 4 + i] = static_cast<std::byte>(crc >> (8 * i) & 0xff);
  }
  FrameHeader header;
  const bool may_be_coded = (data[0] & 2) != 0;
  const FrameError error = decode(bytes, header, may_be_coded);
  require(to_string(error) != nullptr, "every error has words");
  if (error != FrameError::kNone) return 0;
  require(header.type == FrameType::kData || header.length == 0, "only data frames have a payload");
  const bool coded = (header.flags & kFlagCoded) != 0;
  require(!coded || may_be_coded, "coded payloads come only where they were agreed on");
  require(coded ? 0 < header.coded_length && header.coded_length < header.length : header.coded_length == 0,
          "what is coded is smaller");
  std::array<std::byte, kHeaderBytes> again{};
  encode(header, again);
  require(again == bytes, "a header has one encoding");
  return 0;
}

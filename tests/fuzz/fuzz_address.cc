// Bytes that claim to be a weft::Address. Input: one byte (bit 0: mend the checksum, so that what is behind
// it is reached), then up to 112 bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/fuzz/require.h"
#include "transport/multipath/crc32c.h"
#include "transport/tcp/address_codec.h"

using weft::fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  weft::Address address;
  std::memcpy(address.bytes.data(), data + 1, std::min(size - 1, address.bytes.size()));
  if ((data[0] & 1) != 0) {
    const std::uint32_t crc = weft::multipath::crc32c(0, address.bytes.data(), address.bytes.size() - 4);
    for (std::size_t i = 0; i < 4; ++i) {
      address.bytes[address.bytes.size() - 4 + i] = static_cast<std::byte>(crc >> (8 * i) & 0xff);
    }
  }
  const auto decoded = weft::tcp::decode_address(address);
  if (!decoded.is_ok()) {
    require(!decoded.status().message().empty(), "a refusal has words");
    return 0;
  }
  require(!decoded->endpoints.empty(), "an address has an endpoint");
  for (const auto& endpoint : decoded->endpoints) {
    require(weft::tcp::is_possible_endpoint(endpoint) && endpoint.port != 0,
            "an endpoint can be connected to");
  }
  const auto again = weft::tcp::encode_address(decoded->listener_id, decoded->endpoints, decoded->left_out);
  require(again.is_ok() && again->bytes == address.bytes, "an address has one encoding");
  return 0;
}

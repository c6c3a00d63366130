#include "bench/compression/measured_data.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "bench/compression/normal_numbers.h"

namespace weft::bench {

std::vector<std::byte> measured_data(compression::ElementType type, std::size_t bytes,
                                     const std::string& file) {
  std::vector<std::byte> some;
  if (file.empty()) {
    some = normal_numbers(type, std::min<std::size_t>(bytes, 8 << 20), 1);
  } else {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error("The file " + file + " of elements to measure on cannot be read.");
    std::transform(std::istreambuf_iterator<char>(in), {}, std::back_inserter(some),
                   [](char byte) { return static_cast<std::byte>(byte); });
    const std::size_t size = compression::element_bytes(type);
    some.resize(some.size() / size * size);
    if (some.empty()) throw std::runtime_error("The file " + file + " has not one element to measure on.");
  }
  std::vector<std::byte> result(bytes);
  for (std::size_t at = 0; at < bytes; at += some.size())
    std::memcpy(&result[at], some.data(), std::min(some.size(), bytes - at));
  return result;
}

}  // namespace weft::bench

// Data of the user's own for collectives that only move it: what compresses well or badly is not seen with
// made-up bits. Every rank reads the file, so any of them can say what it must receive.
//
// Constant once it is read; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft::bench {

class DataFile {
 public:
  // kBadConfiguration where it cannot be read or is too short to be of use.
  static Result<DataFile> read(const std::string& name);

  // The file over and over, from a place that depends on repetition and rank. `first_element`: of data[0] in
  // the stream of `rank`.
  void fill(void* data, std::size_t elements, std::size_t element_bytes, std::uint64_t repetition, int rank,
            std::uint64_t first_element) const;
  std::size_t count_wrong(const void* data, std::size_t elements, std::size_t element_bytes,
                          std::uint64_t repetition, int rank, std::uint64_t first_element) const;

 private:
  // Calls use(at in the file, at in the buffer, bytes) for each stretch that does not wrap around.
  template <typename Use>
  void for_stretches(std::size_t bytes, std::uint64_t repetition, int rank, std::uint64_t first_byte,
                     const Use& use) const;

  std::vector<char> bytes_;
};

}  // namespace weft::bench

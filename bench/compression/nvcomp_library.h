// nvCOMP's batched C interface, opened when a program runs: a yardstick for the codecs' kernels, never
// needed.
//
// Declared here from what nvCOMP 6 documents; nothing of it is included. Its functions differ from codec to
// codec in the type of the options alone, and those are 64 bytes everywhere. Another major version is
// refused: it may lay them out otherwise. One thread; the library stays open while an NvcompLibrary lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "weft/status.h"

struct CUstream_st;

namespace weft::bench {

struct alignas(8) NvcompOptions {
  unsigned char bytes[64];
};
static_assert(sizeof(NvcompOptions) == 64);

struct NvcompAlignment {
  std::size_t input, output, temp;
};

using NvcompStatus = int;  // 0 is success

// Of one codec. Pointers to pointers and sizes lie in device memory; chunks too.
struct NvcompCodec {
  NvcompStatus (*compress_alignment)(NvcompOptions, NvcompAlignment*);
  NvcompStatus (*compress_temp)(std::size_t chunks, std::size_t chunk_bytes, NvcompOptions,
                                std::size_t* temp_bytes, std::size_t total_bytes, CUstream_st*);
  NvcompStatus (*most_compressed)(std::size_t chunk_bytes, NvcompOptions, std::size_t* bytes);
  NvcompStatus (*compress)(const void* const* chunks, const std::size_t* chunk_bytes,
                           std::size_t most_chunk_bytes, std::size_t count, void* temp,
                           std::size_t temp_bytes, void* const* compressed, std::size_t* compressed_bytes,
                           NvcompOptions, NvcompStatus* statuses, CUstream_st*);
  NvcompStatus (*decompress_alignment)(NvcompOptions, NvcompAlignment*);
  NvcompStatus (*decompress_temp)(std::size_t chunks, std::size_t chunk_bytes, NvcompOptions,
                                  std::size_t* temp_bytes, std::size_t total_bytes, CUstream_st*);
  NvcompStatus (*decompress)(const void* const* compressed, const std::size_t* compressed_bytes,
                             const std::size_t* room_bytes, std::size_t* chunk_bytes, std::size_t count,
                             void* temp, std::size_t temp_bytes, void* const* chunks, NvcompOptions,
                             NvcompStatus* statuses, CUstream_st*);
};

class NvcompLibrary {
 public:
  // `path`: of libnvcomp.so.6, or empty for where the system looks for libraries.
  static Result<NvcompLibrary> open(const std::string& path);

  std::string version() const;
  // `name` as in the functions' names: "ANS", "Bitcomp", "Cascaded", "LZ4", "Zstd".
  Result<NvcompCodec> codec(const std::string& name) const;
  std::string words(NvcompStatus status) const;

 private:
  struct Close {
    void operator()(void* library) const;
  };
  explicit NvcompLibrary(std::unique_ptr<void, Close> library) : library_(std::move(library)) {}
  template <typename Function>
  Status find(const std::string& name, Function*& function) const;

  std::unique_ptr<void, Close> library_;
  std::uint32_t version_ = 0;
};

}  // namespace weft::bench

#include "bench/compression/nvcomp_library.h"

#include <dlfcn.h>

#include <utility>

namespace weft::bench {

void NvcompLibrary::Close::operator()(void* library) const {
  dlclose(library);
}

template <typename Function>
Status NvcompLibrary::find(const std::string& name, Function*& function) const {
  void* const symbol = dlsym(library_.get(), name.c_str());
  if (symbol == nullptr) return {StatusCode::kBadConfiguration, "This nvCOMP has no function " + name + "."};
  function = reinterpret_cast<Function*>(symbol);
  return Status::ok();
}

Result<NvcompLibrary> NvcompLibrary::open(const std::string& path) {
  constexpr std::uint32_t kMajor = 6;
  NvcompLibrary result(std::unique_ptr<void, Close>(
      dlopen(path.empty() ? "libnvcomp.so.6" : path.c_str(), RTLD_NOW | RTLD_LOCAL)));
  if (result.library_ == nullptr) {
    const char* const why = dlerror();
    return Status{StatusCode::kBadConfiguration, why != nullptr ? why : "it cannot be opened"};
  }
  struct Properties {
    std::uint32_t version, cuda_version;
  } properties{};
  NvcompStatus (*get)(Properties*) = nullptr;
  if (const Status found = result.find("nvcompGetProperties", get); !found) return found;
  if (const NvcompStatus status = get(&properties); status != 0)
    return Status{StatusCode::kBadConfiguration, "nvCOMP does not tell its version: " + result.words(status)};
  result.version_ = properties.version;
  if (properties.version / 1000 != kMajor)
    return Status{StatusCode::kBadConfiguration,
                  "It is nvCOMP " + result.version() +
                      ", and this program was written for version 6, whose options "
                      "may be laid out otherwise."};
  return result;
}

std::string NvcompLibrary::version() const {
  return std::to_string(version_ / 1000) + "." + std::to_string(version_ / 100 % 10) + "." +
         std::to_string(version_ % 100);
}

Result<NvcompCodec> NvcompLibrary::codec(const std::string& name) const {
  NvcompCodec codec{};
  Status status;
  const auto get = [&](const char* what, auto*& function) {
    if (status) status = find("nvcompBatched" + name + what, function);
  };
  get("CompressGetRequiredAlignments", codec.compress_alignment);
  get("CompressGetTempSize", codec.compress_temp);
  get("CompressGetMaxOutputChunkSize", codec.most_compressed);
  get("CompressAsync", codec.compress);
  get("DecompressGetRequiredAlignments", codec.decompress_alignment);
  get("DecompressGetTempSize", codec.decompress_temp);
  get("DecompressAsync", codec.decompress);
  if (!status) return status;
  return codec;
}

std::string NvcompLibrary::words(NvcompStatus status) const {
  const char* (*get)(NvcompStatus) = nullptr;
  const char* const text = find("nvcompGetStatusString", get) ? get(status) : nullptr;
  return "status " + std::to_string(status) + (text != nullptr ? " (" + std::string(text) + ")" : "");
}

}  // namespace weft::bench

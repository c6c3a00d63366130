#include "transport/verbs/mrc_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <type_traits>

namespace weft::verbs::mrc {
namespace {

constexpr const char* kLibraryName = "lib_mrc.so";

struct Symbol {
  const char* name;
  bool required;
  void (*store)(Library& library, void* address);
};

template <auto Member>
void store(Library& library, void* address) {
  library.*Member = reinterpret_cast<std::remove_reference_t<decltype(library.*Member)>>(address);
}

using L = Library;
constexpr Symbol kSymbols[] = {
    {"mrc_query_version", true, store<&L::query_version>},
    {"mrc_query_device", true, store<&L::query_device>},
    {"mrc_query_device_ex", false, store<&L::query_device_ex>},
    {"mrc_create_context", true, store<&L::create_context>},
    {"mrc_destroy_context", true, store<&L::destroy_context>},
    {"mrc_create_cq", true, store<&L::create_cq>},
    {"mrc_poll_cq", true, store<&L::poll_cq>},
    {"mrc_destroy_cq", true, store<&L::destroy_cq>},
    {"mrc_create_qp", true, store<&L::create_qp>},
    {"mrc_destroy_qp", true, store<&L::destroy_qp>},
    {"mrc_modify_qp", true, store<&L::modify_qp>},
    {"mrc_get_qpn", true, store<&L::get_qpn>},
    {"mrc_post_recv", true, store<&L::post_recv>},
    {"mrc_post_send", true, store<&L::post_send>},
};

Status unusable(const std::string& why) {
  return {StatusCode::kInternal, "MRC is not available: " + why};
}

std::string missing_symbols(void* handle, Library& library) {
  std::string missing;
  for (const Symbol& symbol : kSymbols) {
    void* address = dlsym(handle, symbol.name);
    if (address != nullptr) {
      symbol.store(library, address);
    } else if (symbol.required) {
      missing += (missing.empty() ? "" : ", ") + std::string(symbol.name);
    }
  }
  return missing;
}

// Picks the version by which the library is used.
Status agree(const std::string& name, Library& library) {
  // Early libraries take three arguments or two, and leave the others alone.
  std::uint32_t newest = 0, oldest = 0, vendor_newest = 0, vendor_oldest = 0;
  library.query_version(&newest, &oldest, &vendor_newest, &vendor_oldest);
  if (major_of(newest) != major_of(kVersion) || oldest > kVersion) {
    return unusable(
        fmt::format("{} has versions {} to {} of the MRC API, and Weft was written for {}; another "
                    "NIC software, or another Weft, is needed",
                    name, version_text(oldest), version_text(newest), version_text(kVersion)));
  }
  library.api_version = std::min(newest, kVersion);
  if (library.api_version >= kAskedWithContext && library.query_device_ex == nullptr) {
    return unusable(fmt::format("{} says that it has version {} of the MRC API and lacks mrc_query_device_ex",
                                name, version_text(newest)));
  }
  return Status::ok();
}

}  // namespace

int error_of(int returned) {
  return returned < 0 ? errno : returned;
}

std::string version_text(std::uint32_t version) {
  return fmt::format("{}.{}.{}", version >> 24, version >> 16 & 0xFF, version & 0xFFFF);
}

Result<Library> open_library(const std::string& name) {
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = dlerror();
    return unusable(
        fmt::format("{}. The library comes with the software of NICs that speak MRC; its folder has "
                    "to be in LD_LIBRARY_PATH or known to ldconfig",
                    text == nullptr ? "no reason given" : text));
  }
  Library library;
  const std::string missing = missing_symbols(handle, library);
  Status agreed =
      missing.empty()
          ? agree(name, library)
          : unusable(fmt::format("{} lacks {}; is another library of this name in LD_LIBRARY_PATH?", name,
                                 missing));
  if (agreed) return library;
  dlclose(handle);
  return agreed;
}

Result<const Library*> library() {
  static const Result<Library> opened = open_library(kLibraryName);
  if (!opened) return opened.status();
  return &opened.value();
}

}  // namespace weft::verbs::mrc

#include "bench/conform/plugin_library.h"

#include <dlfcn.h>

#include <iterator>
#include <stdexcept>

#include "bench/conform/blackbox.h"

namespace weft::bench::conform {
namespace {

struct Version {
  int abi;
  const char* symbol;
  std::unique_ptr<NetPlugin> (*make)(const void* table);
};

// NCCL's order of search.
constexpr Version kVersions[] = {
    {12, "ncclNetPlugin_v12", make_abi12}, {11, "ncclNetPlugin_v11", make_abi11},
    {10, "ncclNetPlugin_v10", make_abi10}, {9, "ncclNetPlugin_v9", make_abi9},
    {8, "ncclNetPlugin_v8", make_abi8},    {7, "ncclNetPlugin_v7", make_abi7},
    {6, "ncclNetPlugin_v6", make_abi6},
};

}  // namespace

PluginLibrary::PluginLibrary(const std::string& path) {
  CallNote note("dlopen");
  handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle_) {
    const char* why = dlerror();
    throw std::runtime_error(why ? why : "dlopen failed without a reason");
  }
}

PluginLibrary::~PluginLibrary() {
  close();
}

std::vector<int> PluginLibrary::versions() const {
  std::vector<int> found;
  for (const Version& version : kVersions) {
    if (dlsym(handle_, version.symbol)) found.push_back(version.abi);
  }
  return found;
}

std::unique_ptr<NetPlugin> PluginLibrary::table(int abi) const {
  for (const Version& version : kVersions) {
    if (abi != 0 && abi != version.abi) continue;
    if (const void* table = dlsym(handle_, version.symbol)) return version.make(table);
  }
  return nullptr;
}

bool PluginLibrary::close() {
  if (!handle_) return true;
  CallNote note("dlclose");
  const bool closed = dlclose(handle_) == 0;
  handle_ = nullptr;
  return closed;
}

}  // namespace weft::bench::conform

#include "tests/gpu/nccl_api.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <memory>
#include <vector>

namespace weft::gputest {
namespace {

// PyTorch's wheels depend on NVIDIA's package of NCCL; importing torch to ask for its path would take
// seconds.
std::string path_in_python_package() {
  const char* command =
      "python3 -c 'import importlib.util as u, pathlib as p\n"
      "s = u.find_spec(\"nvidia\")\n"
      "for d in (s.submodule_search_locations if s else []):\n"
      "  f = p.Path(d) / \"nccl/lib/libnccl.so.2\"\n"
      "  if f.exists(): print(f); break' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command, "r"), pclose);
  char line[4096];
  if (!pipe || !fgets(line, sizeof line, pipe.get())) return {};
  std::string path = line;
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return path;
}

std::string path_of(void* handle, const std::string& fallback) {
  struct link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && *map->l_name) return map->l_name;
  return fallback;
}

}  // namespace

Result<NcclApi> NcclApi::open(const std::string& path) {
  std::string tried;
  void* handle = nullptr;
  const auto try_open = [&](const std::string& candidate) {
    if (handle || candidate.empty()) return;
    handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) tried += (tried.empty() ? "" : "; ") + std::string(dlerror());
  };
  if (path.empty()) {
    try_open("libnccl.so.2");
    if (!handle) try_open(path_in_python_package());
  } else {
    try_open(path);
  }
  if (!handle) {
    return Status(StatusCode::kUnreachable, "NCCL (libnccl.so.2) could not be loaded: " + tried +
                                                ". Install it or name it with --nccl PATH.");
  }

  NcclApi api{};
  api.path = path_of(handle, path);
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (!function) missing += std::string(missing.empty() ? "" : ", ") + name;
  };
  find(api.get_version, "ncclGetVersion");
  find(api.get_unique_id, "ncclGetUniqueId");
  find(api.comm_init_rank, "ncclCommInitRank");
  find(api.comm_destroy, "ncclCommDestroy");
  find(api.comm_abort, "ncclCommAbort");
  find(api.comm_get_async_error, "ncclCommGetAsyncError");
  find(api.get_error_string, "ncclGetErrorString");
  find(api.get_last_error, "ncclGetLastError");
  find(api.all_reduce, "ncclAllReduce");
  find(api.all_gather, "ncclAllGather");
  find(api.send, "ncclSend");
  find(api.receive, "ncclRecv");
  find(api.group_start, "ncclGroupStart");
  find(api.group_end, "ncclGroupEnd");
  if (!missing.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  api.path + " is not an NCCL of 2.18 or later: it lacks " + missing + ".");
  }
  int& version = api.version_code;
  if (api.get_version(&version) != kNcclSuccess) {
    return Status(StatusCode::kInternal, api.path + ": ncclGetVersion failed.");
  }
  api.version = std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
                std::to_string(version % 100);
  return api;
}

}  // namespace weft::gputest

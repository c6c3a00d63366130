#include "transport/ucx/ucx_library.h"

#include <dlfcn.h>

#include <type_traits>

namespace weft::ucx {
namespace {

constexpr const char* kLibraryName = "libucp.so.0";

struct Symbol {
  const char* name;
  void (*store)(UcxLibrary& library, void* address);
};

template <auto Member>
void store(UcxLibrary& library, void* address) {
  library.*Member = reinterpret_cast<std::remove_reference_t<decltype(library.*Member)>>(address);
}

using L = UcxLibrary;
constexpr Symbol kSymbols[] = {
    {"ucp_get_version_string", store<&L::get_version_string>},
    {"ucs_status_string", store<&L::status_string>},  // libucs's, on which libucp depends
    {"ucp_config_read", store<&L::config_read>},
    {"ucp_config_modify", store<&L::config_modify>},
    {"ucp_config_release", store<&L::config_release>},
    {"ucp_init_version", store<&L::init_version>},
    {"ucp_cleanup", store<&L::cleanup>},
    {"ucp_context_query", store<&L::context_query>},
    {"ucp_context_print_info", store<&L::context_print_info>},
    {"ucp_worker_create", store<&L::worker_create>},
    {"ucp_worker_destroy", store<&L::worker_destroy>},
    {"ucp_worker_query", store<&L::worker_query>},
    {"ucp_worker_release_address", store<&L::worker_release_address>},
    {"ucp_worker_progress", store<&L::worker_progress>},
    {"ucp_worker_set_am_recv_handler", store<&L::worker_set_am_recv_handler>},
    {"ucp_ep_create", store<&L::ep_create>},
    {"ucp_ep_close_nbx", store<&L::ep_close_nbx>},
    {"ucp_ep_flush_nbx", store<&L::ep_flush_nbx>},
    {"ucp_am_send_nbx", store<&L::am_send_nbx>},
    {"ucp_am_recv_data_nbx", store<&L::am_recv_data_nbx>},
    {"ucp_am_data_release", store<&L::am_data_release>},
    {"ucp_request_free", store<&L::request_free>},
};

std::string loader_error() {
  const char* text = dlerror();
  return text == nullptr ? "no reason given" : text;
}

}  // namespace

Result<UcxLibrary> open_ucx_library(const std::string& name) {
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Status(StatusCode::kUnreachable,
                  "UCX is not available: " + loader_error() +
                      ". Install it (Debian: libucx0), or set WEFT_TRANSPORT to something else.");
  }
  UcxLibrary library;
  for (const Symbol& symbol : kSymbols) {
    void* address = dlsym(handle, symbol.name);
    if (address == nullptr) {
      return Status(StatusCode::kUnreachable, name + " cannot be used: " + loader_error() +
                                                  ". Weft needs UCX 1.13 or newer; install that, or set "
                                                  "WEFT_TRANSPORT to something else.");
    }
    symbol.store(library, address);
  }
  return library;
}

Result<const UcxLibrary*> ucx_library() {
  static const Result<UcxLibrary> opened = open_ucx_library(kLibraryName);
  if (!opened) return opened.status();
  return &*opened;
}

}  // namespace weft::ucx

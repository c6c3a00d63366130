// libucp, opened at run time. Weft starts on machines that do not have it; whoever wants UCX asks here and
// gets a table of functions, or the reason why there is none.
//
// Nothing in this folder calls a function of UCX by its name: that would make the library a condition of
// loading. (A test looks for undefined ucp_*, uct_* and ucs_* symbols.) It is opened only where UCX was asked
// for, because opening it changes the process: UCX handles SIGSEGV and its like from then on, follows mmap()
// and its like, and runs a thread. The table stays for the life of the process; the library is never closed.
//
// Included by transport/ucx/ only. Any thread.
#pragma once

#include <ucp/api/ucp.h>

#include <string>

#include "weft/status.h"

namespace weft::ucx {

struct UcxLibrary {
  decltype(&::ucp_get_version_string) get_version_string = nullptr;
  decltype(&::ucs_status_string) status_string = nullptr;
  decltype(&::ucp_config_read) config_read = nullptr;
  decltype(&::ucp_config_modify) config_modify = nullptr;
  decltype(&::ucp_config_release) config_release = nullptr;
  decltype(&::ucp_init_version) init_version = nullptr;
  decltype(&::ucp_cleanup) cleanup = nullptr;
  decltype(&::ucp_context_query) context_query = nullptr;
  decltype(&::ucp_context_print_info) context_print_info = nullptr;
  decltype(&::ucp_worker_create) worker_create = nullptr;
  decltype(&::ucp_worker_destroy) worker_destroy = nullptr;
  decltype(&::ucp_worker_query) worker_query = nullptr;
  decltype(&::ucp_worker_release_address) worker_release_address = nullptr;
  decltype(&::ucp_worker_progress) worker_progress = nullptr;
  decltype(&::ucp_worker_set_am_recv_handler) worker_set_am_recv_handler = nullptr;
  decltype(&::ucp_ep_create) ep_create = nullptr;
  decltype(&::ucp_ep_close_nbx) ep_close_nbx = nullptr;
  decltype(&::ucp_ep_flush_nbx) ep_flush_nbx = nullptr;
  decltype(&::ucp_am_send_nbx) am_send_nbx = nullptr;
  decltype(&::ucp_am_recv_data_nbx) am_recv_data_nbx = nullptr;
  decltype(&::ucp_am_data_release) am_data_release = nullptr;
  decltype(&::ucp_request_free) request_free = nullptr;
};

// The library of this process, opened by the first call. The error says what to install.
Result<const UcxLibrary*> ucx_library();

// One attempt with a library of this name: what ucx_library() does, and what its tests call.
Result<UcxLibrary> open_ucx_library(const std::string& name);

}  // namespace weft::ucx

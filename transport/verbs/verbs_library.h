// libibverbs, opened at run time. Weft starts on machines that do not have it; whoever wants a verb asks here
// and gets a table of functions, or the reason why there is none.
//
// Nothing in this folder calls a function of libibverbs by its name: that would make the library a condition
// of loading. Inline functions of verbs.h that only go through a context's own table (ibv_post_send,
// ibv_post_recv, ibv_post_srq_recv, ibv_poll_cq, ibv_req_notify_cq) need no symbol and may be used as they
// are. Those that fall back to a symbol (ibv_query_port, ibv_reg_mr, ibv_create_qp_ex, ibv_query_device_ex,
// ibv_create_srq_ex, ibv_query_gid_table, ...) may not; a test looks for undefined ibv_* symbols.
//
// Symbols are asked for by the version whose ABI verbs.h declares (IBVERBS_1.1 is that of libibverbs 1.1 from
// 2007, its old ABI 1.0 is there too), never "the newest": a later library may one day add a newer default.
//
// Included by transport/verbs/ only. The table is constant and stays for the life of the process: providers
// register handlers and threads, so the library is never closed. Any thread.
#pragma once

#include <infiniband/verbs.h>

#include <string>

#include "weft/status.h"

namespace weft::verbs {

struct VerbsLibrary {
  decltype(&::ibv_get_device_list) get_device_list = nullptr;
  decltype(&::ibv_free_device_list) free_device_list = nullptr;
  decltype(&::ibv_get_device_name) get_device_name = nullptr;
  decltype(&::ibv_open_device) open_device = nullptr;
  decltype(&::ibv_close_device) close_device = nullptr;
  decltype(&::ibv_get_async_event) get_async_event = nullptr;
  decltype(&::ibv_ack_async_event) ack_async_event = nullptr;
  decltype(&::ibv_query_device) query_device = nullptr;
  decltype(&::ibv_query_gid) query_gid = nullptr;
  decltype(&::ibv_query_pkey) query_pkey = nullptr;
  decltype(&::ibv_alloc_pd) alloc_pd = nullptr;
  decltype(&::ibv_dealloc_pd) dealloc_pd = nullptr;
  decltype(&::ibv_dereg_mr) dereg_mr = nullptr;
  decltype(&::ibv_create_comp_channel) create_comp_channel = nullptr;
  decltype(&::ibv_destroy_comp_channel) destroy_comp_channel = nullptr;
  decltype(&::ibv_create_cq) create_cq = nullptr;
  decltype(&::ibv_destroy_cq) destroy_cq = nullptr;
  decltype(&::ibv_get_cq_event) get_cq_event = nullptr;
  decltype(&::ibv_ack_cq_events) ack_cq_events = nullptr;
  decltype(&::ibv_create_srq) create_srq = nullptr;
  decltype(&::ibv_modify_srq) modify_srq = nullptr;
  decltype(&::ibv_query_srq) query_srq = nullptr;
  decltype(&::ibv_destroy_srq) destroy_srq = nullptr;
  decltype(&::ibv_create_qp) create_qp = nullptr;
  decltype(&::ibv_modify_qp) modify_qp = nullptr;
  decltype(&::ibv_query_qp) query_qp = nullptr;
  decltype(&::ibv_destroy_qp) destroy_qp = nullptr;
  decltype(&::ibv_create_ah) create_ah = nullptr;
  decltype(&::ibv_destroy_ah) destroy_ah = nullptr;
  decltype(&::ibv_fork_init) fork_init = nullptr;
  decltype(&::ibv_wc_status_str) wc_status_str = nullptr;
  decltype(&::ibv_event_type_str) event_type_str = nullptr;
  decltype(&::ibv_port_state_str) port_state_str = nullptr;

  // Null where the library is older than the function.
  decltype(&::ibv_reg_dmabuf_mr) reg_dmabuf_mr = nullptr;  // rdma-core 34
  decltype(&::ibv_query_ece) query_ece = nullptr;          // rdma-core 30
  decltype(&::ibv_set_ece) set_ece = nullptr;

  // What the macros ibv_reg_mr and ibv_query_port do, by way of the table. Access flags of the optional range
  // (IBV_ACCESS_RELAXED_ORDERING) are dropped where library or kernel do not know them. Null and errno, or an
  // errno value, as the verbs themselves.
  ibv_mr* register_memory(ibv_pd* pd, void* address, std::size_t bytes, unsigned access) const;
  int query_port(ibv_context* context, std::uint8_t port, ibv_port_attr* attributes) const;

  // Reached through the two above.
  decltype(&::ibv_reg_mr) plain_reg_mr = nullptr;
  decltype(&::ibv_reg_mr_iova2) reg_mr_iova2 = nullptr;  // rdma-core 27; may be null
  decltype(&::ibv_query_port) plain_query_port = nullptr;
};

// The library of this process, opened by the first call. The error says what to install.
Result<const VerbsLibrary*> verbs_library();

// One attempt with a library of this name: what verbs_library() does, and what its tests call.
Result<VerbsLibrary> open_verbs_library(const std::string& name);

}  // namespace weft::verbs

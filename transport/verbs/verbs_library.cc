#include "transport/verbs/verbs_library.h"

#include <dlfcn.h>

#include <cstdint>
#include <type_traits>

namespace weft::verbs {
namespace {

constexpr const char* kLibraryName = "libibverbs.so.1";

struct Symbol {
  const char* name;
  const char* version;
  bool required;
  void (*store)(VerbsLibrary& library, void* address);
};

template <auto Member>
void store(VerbsLibrary& library, void* address) {
  library.*Member = reinterpret_cast<std::remove_reference_t<decltype(library.*Member)>>(address);
}

using L = VerbsLibrary;
constexpr Symbol kSymbols[] = {
    {"ibv_get_device_list", "IBVERBS_1.1", true, store<&L::get_device_list>},
    {"ibv_free_device_list", "IBVERBS_1.1", true, store<&L::free_device_list>},
    {"ibv_get_device_name", "IBVERBS_1.1", true, store<&L::get_device_name>},
    {"ibv_open_device", "IBVERBS_1.1", true, store<&L::open_device>},
    {"ibv_close_device", "IBVERBS_1.1", true, store<&L::close_device>},
    {"ibv_get_async_event", "IBVERBS_1.1", true, store<&L::get_async_event>},
    {"ibv_ack_async_event", "IBVERBS_1.1", true, store<&L::ack_async_event>},
    {"ibv_query_device", "IBVERBS_1.1", true, store<&L::query_device>},
    {"ibv_query_port", "IBVERBS_1.1", true, store<&L::plain_query_port>},
    {"ibv_query_gid", "IBVERBS_1.1", true, store<&L::query_gid>},
    {"ibv_query_pkey", "IBVERBS_1.1", true, store<&L::query_pkey>},
    {"ibv_alloc_pd", "IBVERBS_1.1", true, store<&L::alloc_pd>},
    {"ibv_dealloc_pd", "IBVERBS_1.1", true, store<&L::dealloc_pd>},
    {"ibv_reg_mr", "IBVERBS_1.1", true, store<&L::plain_reg_mr>},
    {"ibv_dereg_mr", "IBVERBS_1.1", true, store<&L::dereg_mr>},
    {"ibv_create_comp_channel", "IBVERBS_1.0", true, store<&L::create_comp_channel>},
    {"ibv_destroy_comp_channel", "IBVERBS_1.0", true, store<&L::destroy_comp_channel>},
    {"ibv_create_cq", "IBVERBS_1.1", true, store<&L::create_cq>},
    {"ibv_destroy_cq", "IBVERBS_1.1", true, store<&L::destroy_cq>},
    {"ibv_get_cq_event", "IBVERBS_1.1", true, store<&L::get_cq_event>},
    {"ibv_ack_cq_events", "IBVERBS_1.1", true, store<&L::ack_cq_events>},
    {"ibv_create_srq", "IBVERBS_1.1", true, store<&L::create_srq>},
    {"ibv_modify_srq", "IBVERBS_1.1", true, store<&L::modify_srq>},
    {"ibv_query_srq", "IBVERBS_1.1", true, store<&L::query_srq>},
    {"ibv_destroy_srq", "IBVERBS_1.1", true, store<&L::destroy_srq>},
    {"ibv_create_qp", "IBVERBS_1.1", true, store<&L::create_qp>},
    {"ibv_modify_qp", "IBVERBS_1.1", true, store<&L::modify_qp>},
    {"ibv_query_qp", "IBVERBS_1.1", true, store<&L::query_qp>},
    {"ibv_destroy_qp", "IBVERBS_1.1", true, store<&L::destroy_qp>},
    {"ibv_create_ah", "IBVERBS_1.1", true, store<&L::create_ah>},
    {"ibv_destroy_ah", "IBVERBS_1.1", true, store<&L::destroy_ah>},
    {"ibv_fork_init", "IBVERBS_1.1", true, store<&L::fork_init>},
    {"ibv_wc_status_str", "IBVERBS_1.1", true, store<&L::wc_status_str>},
    {"ibv_event_type_str", "IBVERBS_1.1", true, store<&L::event_type_str>},
    {"ibv_port_state_str", "IBVERBS_1.1", true, store<&L::port_state_str>},
    {"ibv_reg_mr_iova2", "IBVERBS_1.8", false, store<&L::reg_mr_iova2>},
    {"ibv_query_ece", "IBVERBS_1.10", false, store<&L::query_ece>},
    {"ibv_set_ece", "IBVERBS_1.10", false, store<&L::set_ece>},
    {"ibv_reg_dmabuf_mr", "IBVERBS_1.12", false, store<&L::reg_dmabuf_mr>},
};

std::string loader_error() {
  const char* text = dlerror();
  return text == nullptr ? "no reason given" : text;
}

}  // namespace

Result<VerbsLibrary> open_verbs_library(const std::string& name) {
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Status(StatusCode::kInternal, "RDMA is not available: " + loader_error() +
                                             ". Install rdma-core's libibverbs (Debian: libibverbs1 and "
                                             "ibverbs-providers), or set WEFT_TRANSPORT=tcp.");
  }
  VerbsLibrary library;
  std::string missing;
  for (const Symbol& symbol : kSymbols) {
    void* address = dlvsym(handle, symbol.name, symbol.version);
    if (address != nullptr) {
      symbol.store(library, address);
    } else if (symbol.required) {
      missing += (missing.empty() ? "" : ", ") + std::string(symbol.name) + "@" + symbol.version;
    }
  }
  if (missing.empty()) return library;
  dlclose(handle);
  return Status(StatusCode::kInternal, "RDMA is not available: " + name + " lacks " + missing +
                                           ". Weft needs the libibverbs of rdma-core; is another library of "
                                           "this name in LD_LIBRARY_PATH?");
}

Result<const VerbsLibrary*> verbs_library() {
  static const Result<VerbsLibrary> opened = [] {
    Result<VerbsLibrary> library = open_verbs_library(kLibraryName);
    // Kernels before 5.12 move the parent's registered pages away at a fork unless they are told not to.
    // Later ones copy for the child, and this does nothing. Where it fails, registering still works.
    if (library) (void)library->fork_init();
    return library;
  }();
  if (!opened) return opened.status();
  return &opened.value();
}

ibv_mr* VerbsLibrary::register_memory(ibv_pd* pd, void* address, std::size_t bytes, unsigned access) const {
  if ((access & IBV_ACCESS_OPTIONAL_RANGE) != 0 && reg_mr_iova2 != nullptr)
    return reg_mr_iova2(pd, address, bytes, reinterpret_cast<std::uintptr_t>(address), access);
  return plain_reg_mr(pd, address, bytes, static_cast<int>(access & ~IBV_ACCESS_OPTIONAL_RANGE));
}

int VerbsLibrary::query_port(ibv_context* context, std::uint8_t port, ibv_port_attr* attributes) const {
  *attributes = {};
  verbs_context* extended = verbs_get_ctx_op(context, query_port);
  if (extended != nullptr) return extended->query_port(context, port, attributes, sizeof *attributes);
  // The symbol knows the first part of the structure only.
  return plain_query_port(context, port, reinterpret_cast<_compat_ibv_port_attr*>(attributes));
}

}  // namespace weft::verbs

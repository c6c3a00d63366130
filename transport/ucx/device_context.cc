#include "transport/ucx/device_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace weft::ucx {
namespace {

struct Setting {
  const char* name;
  const char* value;
};
// One path is one device and one way over it. Memory and the process itself are no paths of ours, and
// striping over several lanes is Weft's work. Signs of life are Weft's to look for, too, and sooner than UCX
// would.
constexpr Setting kSettings[] = {
    {"SHM_DEVICES", ""},      {"SELF_DEVICES", ""},    {"ACC_DEVICES", ""},
    {"MAX_EAGER_RAILS", "1"}, {"MAX_RNDV_RAILS", "1"}, {"KEEPALIVE_INTERVAL", "inf"},
};

// Of single transports; UCX wants their names without the transport's prefix here.
struct TransportSetting {
  std::string_view transport;  // a prefix
  Setting setting;
};
constexpr TransportSetting kTransportSettings[] = {
    // It waits in connect() unless it is told not to: on a plane that is cut, for minutes, under the link's
    // lock.
    {"tcp", {"CONN_NB", "y"}},
    // When a connection breaks under a payload that is sent without a copy, UCX 1.13 completes it twice and
    // ends the process.
    {"tcp", {"PUT_ENABLE", "n"}},
    {"tcp", {"ZCOPY_THRESH", "inf"}},
    // What the kernel holds unsent nobody can see, so it should be little.
    {"tcp", {"SNDBUF", "256K"}},
    // Sized for workers that serve hundreds of peers. Ours serves one, and there are many of them: 2 MiB each
    // instead of 71 (UCX 1.13 over SoftRoCE).
    {"rc_", {"RC_RX_QUEUE_LEN", "256"}},
    {"rc_", {"RC_RX_BUFS_GROW", "64"}},
    {"rc_", {"RC_TX_BUFS_GROW", "64"}},
    {"ud_", {"UD_RX_QUEUE_LEN", "256"}},
    {"ud_", {"UD_RX_BUFS_GROW", "64"}},
    {"ud_", {"UD_TX_BUFS_GROW", "64"}},
};

bool has_transport(const DeviceName& device, std::string_view prefix) {
  return std::any_of(device.transports.begin(), device.transports.end(),
                     [&](const std::string& one) { return std::string_view(one).starts_with(prefix); });
}

Status failed(const UcxLibrary& library, const std::string& what, ucs_status_t status) {
  return Status(StatusCode::kUnreachable, fmt::format("UCX {}: {}: {}", library.get_version_string(), what,
                                                      library.status_string(status)));
}

// `device`: null for all that the user allows.
Result<ucp_context_h> open_context(const UcxLibrary& library, const DeviceName* device) {
  ucp_config_t* config = nullptr;
  if (ucs_status_t status = library.config_read(nullptr, nullptr, &config); status != UCS_OK)
    return failed(library, "its settings cannot be read; is a UCX_* variable wrong?", status);
  std::string refused;
  for (const Setting& setting : kSettings)
    if (library.config_modify(config, setting.name, setting.value) != UCS_OK) refused = setting.name;
  if (device != nullptr && library.config_modify(config, "NET_DEVICES", device->name.c_str()) != UCS_OK)
    refused = "NET_DEVICES";
  for (const TransportSetting& one : kTransportSettings) {
    if (device == nullptr || !has_transport(*device, one.transport)) continue;
    if (library.config_modify(config, one.setting.name, one.setting.value) != UCS_OK)
      refused = one.setting.name;
  }
  ucp_params_t params{};
  params.field_mask =
      UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED | UCP_PARAM_FIELD_ESTIMATED_NUM_EPS;
  params.features = UCP_FEATURE_AM;
  params.mt_workers_shared = 1;
  params.estimated_num_eps = 1;
  ucp_context_h handle = nullptr;
  ucs_status_t status = refused.empty()
                            ? library.init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &handle)
                            : UCS_ERR_UNSUPPORTED;
  library.config_release(config);
  if (!refused.empty()) {
    return failed(
        library,
        fmt::format("it does not know the setting {}, without which paths would not be Weft's", refused),
        status);
  }
  if (status == UCS_OK) return handle;
  return failed(library,
                device == nullptr
                    ? std::string("no network device can be used; do UCX_TLS and UCX_NET_DEVICES leave one?")
                    : fmt::format("device {} cannot be used", device->name),
                status);
}

std::string printed_info(const UcxLibrary& library, ucp_context_h handle) {
  char* text = nullptr;
  std::size_t bytes = 0;
  std::FILE* stream = open_memstream(&text, &bytes);
  if (stream == nullptr) return {};
  library.context_print_info(handle, stream);
  std::fclose(stream);
  std::string result(text, bytes);
  std::free(text);
  return result;
}

}  // namespace

Result<std::vector<DeviceName>> list_devices(const UcxLibrary& library) {
  auto handle = open_context(library, nullptr);
  if (!handle) return handle.status();
  std::vector<DeviceName> devices = parse_devices(printed_info(library, *handle));
  library.cleanup(*handle);
  if (devices.empty()) {
    return Status(StatusCode::kUnreachable, fmt::format("UCX {} does not say which network devices it uses",
                                                        library.get_version_string()));
  }
  return devices;
}

Result<std::shared_ptr<DeviceContext>> DeviceContext::open(const UcxLibrary& library,
                                                           const DeviceName& device) {
  auto handle = open_context(library, &device);
  if (!handle) return handle.status();
  std::shared_ptr<DeviceContext> context(new DeviceContext(library, device, *handle));
  ucp_context_attr_t attributes{};
  attributes.field_mask = UCP_ATTR_FIELD_THREAD_MODE;
  if (library.context_query(*handle, &attributes) != UCS_OK ||
      attributes.thread_mode != UCS_THREAD_MODE_MULTI) {
    return Status(StatusCode::kUnreachable,
                  fmt::format("UCX {} was built without support of threads (--enable-mt), which Weft needs",
                              library.get_version_string()));
  }
  return context;
}

DeviceContext::~DeviceContext() {
  if (birthplace_.is_here()) library_.cleanup(handle_);
}

}  // namespace weft::ucx

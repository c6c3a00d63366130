#include "transport/verbs/port_discovery.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "transport/engine/natural_order.h"
#include "transport/verbs/port_files.h"
#include "transport/verbs/verbs_library.h"

namespace weft::verbs {
namespace {

std::string error_text(int error) {
  return std::generic_category().message(error);
}

LinkLayer link_layer_of(std::uint8_t code) {
  switch (code) {
    case IBV_LINK_LAYER_ETHERNET:
      return LinkLayer::kEthernet;
    case IBV_LINK_LAYER_INFINIBAND:
    case IBV_LINK_LAYER_UNSPECIFIED:  // what drivers from before RoCE leave there
      return LinkLayer::kInfiniBand;
    default:
      return LinkLayer::kOther;
  }
}

// The wider field is in newer headers only, and says what does not fit into the old one.
template <typename Attributes>
unsigned speed_code(const Attributes& attributes) {
  if constexpr (requires { attributes.active_speed_ex; }) {
    if (attributes.active_speed_ex != 0) return attributes.active_speed_ex;
  }
  return attributes.active_speed;
}

int mtu_bytes(ibv_mtu code) {
  return code >= IBV_MTU_256 && code <= IBV_MTU_4096 ? 128 << code : 0;
}

std::string reason_of_state(const Port& port) {
  std::string advice = port.link_layer == LinkLayer::kEthernet
                           ? "bring its network interface up (ip link set " +
                                 (port.netdev.empty() ? "NAME" : port.netdev) + " up) or look at the cable"
                           : "look at the cable, or see whether a subnet manager runs";
  return "its state is " + port.state + ", not active: " + advice;
}

GidWish gid_wish(const PortWish& wish, const std::string& netdev) {
  return {wish.address_family, wish.gid_index, netdev};
}

class Lister {
 public:
  Lister(const VerbsLibrary& library, const PortWish& wish) : library_(library), wish_(wish) {}

  void add_ports_of(ibv_device* device) {
    Port port;
    port.device = library_.get_device_name(device);
    if (device->transport_type != IBV_TRANSPORT_IB) {
      add_unused(port,
                 "it has no reliable queue pairs of InfiniBand's kind (iWARP, EFA and usNIC have others)");
      return;
    }
    const std::unique_ptr<ibv_context, int (*)(ibv_context*)> context(library_.open_device(device),
                                                                      library_.close_device);
    if (context == nullptr) {
      add_unused(port, "it cannot be opened: " + error_text(errno) + "; a container needs /dev/infiniband/" +
                           device->dev_name);
      return;
    }
    ibv_device_attr attributes{};
    if (const int error = library_.query_device(context.get(), &attributes); error != 0) {
      add_unused(port, "it cannot be asked: " + error_text(error));
      return;
    }
    for (int number = 1; number <= attributes.phys_port_cnt; ++number) {
      port.number = number;
      add_port(port, context.get());
    }
  }

  std::vector<Port> take() { return std::move(ports_); }

 private:
  void add_unused(Port port, std::string why) {
    port.usable = false;
    port.why_not = std::move(why);
    ports_.push_back(std::move(port));
  }

  void add_port(Port port, ibv_context* context) {
    ibv_port_attr attributes{};
    const auto number = static_cast<std::uint8_t>(port.number);
    if (const int error = library_.query_port(context, number, &attributes); error != 0) {
      add_unused(port, "it cannot be asked: " + error_text(error));
      return;
    }
    port.link_layer = link_layer_of(attributes.link_layer);
    port.state = library_.port_state_str(attributes.state);
    port.active_mtu_bytes = mtu_bytes(attributes.active_mtu);
    port.lid = attributes.lid;
    PortFiles files = read_port_files(port.device, port.number, port.link_layer);
    // The kernel's words know speeds that an older field has no bit for.
    port.speed_mbps =
        std::max(link_speed_mbps(attributes.active_width, speed_code(attributes)), files.rate_mbps);
    port.netdev = files.netdev;
    port.pci_path = files.pci_path;
    port.numa_node = files.numa_node;

    const auto gid = choose_gid(port.link_layer, files.gids, addresses_, gid_wish(wish_, port.netdev));
    if (gid) port.gid = *gid;
    if (!wish_.filter.matches(port.device, port.number)) {
      add_unused(port, "WEFT_IB_HCA=\"" + wish_.filter.text() + "\" (or NCCL_IB_HCA) leaves it out");
    } else if (port.link_layer == LinkLayer::kOther) {
      add_unused(port, "its link layer is neither InfiniBand nor Ethernet");
    } else if (attributes.state != IBV_PORT_ACTIVE) {
      add_unused(port, reason_of_state(port));
    } else if (!gid) {
      add_unused(port, gid.status().message());
    } else {
      port.usable = true;
      ports_.push_back(std::move(port));
    }
  }

  const VerbsLibrary& library_;
  const PortWish& wish_;
  const std::vector<NetdevAddress> addresses_ = netdev_addresses();
  std::vector<Port> ports_;
};

}  // namespace

Result<std::vector<Port>> list_ports(const PortWish& wish) {
  const auto library = verbs_library();
  if (!library) return library.status();
  int count = 0;
  errno = 0;
  const std::unique_ptr<ibv_device*, void (*)(ibv_device**)> devices((*library)->get_device_list(&count),
                                                                     (*library)->free_device_list);
  if (devices == nullptr) {
    if (errno == 0 || errno == ENOSYS) return std::vector<Port>{};  // no RDMA in this kernel, or not loaded
    return Status(StatusCode::kInternal,
                  "RDMA is not available: libibverbs cannot list devices: " + error_text(errno));
  }
  Lister lister(**library, wish);
  for (int i = 0; i < count; ++i) lister.add_ports_of(devices.get()[i]);
  std::vector<Port> ports = lister.take();
  std::stable_sort(ports.begin(), ports.end(), [](const Port& a, const Port& b) {
    return a.device == b.device ? a.number < b.number : engine::natural_less(a.device, b.device);
  });
  return ports;
}

Result<std::vector<Port>> select_ports(std::span<const Port> all) {
  std::vector<Port> usable;
  std::string reasons;
  for (const Port& port : all) {
    if (port.usable) usable.push_back(port);
    reasons += (reasons.empty() ? "" : "; ") + port_name(port) + ": " + port.why_not;
  }
  if (!usable.empty()) return usable;
  return Status(StatusCode::kUnreachable,
                all.empty()
                    ? "no RDMA device is here (ls /sys/class/infiniband); is the driver loaded, and does "
                      "ibv_devinfo see it?"
                    : "no RDMA port can be used: " + reasons + ".");
}

std::string port_name(const Port& port) {
  std::string text = port.device + " port " + std::to_string(port.number);
  if (port.state.empty()) return text;
  text += port.link_layer == LinkLayer::kInfiniBand ? " (InfiniBand"
          : port.link_layer == LinkLayer::kEthernet ? " (RoCE"
                                                    : " (unknown link layer";
  if (!port.netdev.empty()) text += ", " + port.netdev;
  if (port.speed_mbps > 0) text += ", " + std::to_string(port.speed_mbps) + " Mb/s";
  return text + ")";
}

Result<GidEntry> current_gid(const Port& port, const PortWish& wish) {
  const PortFiles files = read_port_files(port.device, port.number, port.link_layer);
  if (port.link_layer == LinkLayer::kEthernet) {
    if (auto same = find_gid(files.gids, port.gid)) return *same;
    return Status(StatusCode::kUnreachable,
                  port_name(port) + ": its address " + gid_text(port.gid.bytes) + " is gone. Give " +
                      (port.gid.netdev.empty() ? "its interface" : port.gid.netdev) +
                      " that address again, or start anew with another");
  }
  auto chosen = choose_gid(port.link_layer, files.gids, netdev_addresses(), gid_wish(wish, files.netdev));
  if (chosen) return chosen;
  return Status(chosen.status().code(), port_name(port) + ": " + chosen.status().message() + ".");
}

}  // namespace weft::verbs

// The RDMA ports of this machine, which of them Weft uses, and why not the others. Plain data: no verbs type
// leaves. Devices are opened to be asked and closed again. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "transport/engine/hca_filter.h"
#include "transport/verbs/gid_choice.h"
#include "weft/status.h"

namespace weft::verbs {

struct Port {
  std::string device;  // mlx5_0
  int number = 1;
  bool usable = false;
  std::string why_not;  // empty where it is usable; a sentence without its stop otherwise

  LinkLayer link_layer = LinkLayer::kOther;
  std::string state;         // as libibverbs says it: "active", "down"
  int active_mtu_bytes = 0;  // of RDMA, without headers: 256 to 4096
  int speed_mbps = 0;        // 0: not known
  std::uint16_t lid = 0;     // InfiniBand
  GidEntry gid;              // chosen; meaningful where usable
  std::string netdev;        // of the port; the GID's may be a VLAN on top of it
  std::string pci_path;      // real path of the function's folder in /sys; empty where there is none
  int numa_node = -1;        // -1: not known
};

struct PortWish {
  engine::HcaFilter filter;      // WEFT_IB_HCA
  int address_family = 0;        // WEFT_FAMILY
  std::optional<int> gid_index;  // WEFT_IB_GID_INDEX
};

// Every port of every RDMA device in the natural order of their names, those that are not used included.
// Empty where there is no device. An error only where libibverbs cannot be opened or fails as a whole.
Result<std::vector<Port>> list_ports(const PortWish& wish);

// Those that are usable. kUnreachable where none is: the message has each port with its reason.
Result<std::vector<Port>> select_ports(std::span<const Port> all);

// "mlx5_0 port 1 (InfiniBand, 400000 Mb/s)", for messages.
std::string port_name(const Port& port);

// Where the port's GID stands at this moment: indexes move as addresses come and go, so it is asked for
// whenever a queue pair is built or an event says that the table has changed. On Ethernet never another GID
// than port.gid: paths are dialled between the addresses that were chosen at the start, which tests the way
// that the packets will take. kUnreachable where it is not there.
Result<GidEntry> current_gid(const Port& port, const PortWish& wish);

}  // namespace weft::verbs

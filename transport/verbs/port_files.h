// What the kernel says of an RDMA port in the files under /sys/class/infiniband and /sys/class/net, and the
// addresses of this namespace's network interfaces. No verbs: the files are the same with every version of
// libibverbs, and readable where a device may not be opened. Any thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "transport/verbs/gid_choice.h"

namespace weft::verbs {

inline constexpr int kMaxGidEntries = 1024;  // that are looked at

struct PortFiles {
  std::string netdev;    // the interface of an Ethernet port, or IPoIB's; empty where there is none
  std::string pci_path;  // real path of the function's folder; for software devices that of their interface
  int numa_node = -1;    // -1: not known
  int rate_mbps = 0;     // what the kernel makes of width and speed; 0: not known
  std::vector<GidEntry> gids;  // those that are set
};

// What cannot be read is left empty. `sys` is "/sys", but in tests.
PortFiles read_port_files(const std::string& device, int port, LinkLayer link_layer,
                          const std::string& sys = "/sys");

// "400 Gb/sec (4X NDR)" in Mb/s; 0 where it is nothing of the kind.
int parse_rate(const std::string& text);

// Width and speed as ibv_port_attr encodes them, in Mb/s; 0 where one is not known. Rates are those of the
// data, as the kernel and NCCL count them: 10000 for a lane of QDR, 25000 for EDR.
int link_speed_mbps(unsigned width_code, unsigned speed_code);

// Every IPv4 and IPv6 address of this namespace. Empty where the kernel refuses.
std::vector<NetdevAddress> netdev_addresses();

}  // namespace weft::verbs

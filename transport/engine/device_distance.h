// Which network devices are far from what this process works with, so that they stand by for the near ones: a
// NIC behind another socket's root complex is slow to read from, and takes bandwidth away from what is at
// home there (Meta, SIGCOMM 2024; NCCL's levels PIX to SYS). Decisions on the folders of /sys; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft::engine {

enum class Distance : std::uint8_t {
  kSwitch,  // below one root port: NCCL's PIX and PXB
  kNode,    // of one NUMA node: PHB and NODE
  kSystem,  // across sockets
};

// Between two PCI functions, by their real folders (engine/pci_path.h).
Distance distance(const std::string& pci_path, const std::string& other);

// WEFT_NEAR: "auto", "off" or a PCI address. For each device, given by its function's real folder (empty: not
// on the bus), whether it stands by:
// - off: none does;
// - a PCI address, usually a GPU's: those that are farther from it than the nearest of them;
// - auto: those of NUMA nodes on which this process may not run, if it may run on one node but not on all. A
//   process that is bound to nothing has said nothing.
// Never all of them, and never one whose place is not known. kBadConfiguration: no such PCI device. `sys` is
// "/sys", but in tests.
Result<std::vector<bool>> find_far_devices(const std::string& near, std::span<const std::string> pci_paths,
                                           const std::string& sys = "/sys");

// Values that WEFT_NEAR takes.
bool is_near_wish(const std::string& text);

}  // namespace weft::engine

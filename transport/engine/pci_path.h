// Where a device sits on the PCI bus, by the folders of /sys. Values; any thread.
#pragma once

#include <string>
#include <string_view>

namespace weft::engine {

// "0000:3b:00.1": domain (four digits or more: Hyper-V and VMD have long ones), bus, device and function.
bool is_pci_function(std::string_view component);

// The real path of `folder`, cut back to its last component that is a PCI function: virtio and auxiliary
// devices hang below theirs. Empty where there is none, or no such folder.
std::string pci_function_of(const std::string& folder);

}  // namespace weft::engine

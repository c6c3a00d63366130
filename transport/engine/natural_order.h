// The order in which people count devices: eth2 before eth10. Any thread.
#pragma once

#include <string_view>

namespace weft::engine {

// A strict order: runs of digits compare as numbers, and of two names that differ in leading zeros only
// (eth01, eth1) one comes first.
bool natural_less(std::string_view a, std::string_view b);

}  // namespace weft::engine

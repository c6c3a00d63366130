// What rates are measured on: normal numbers, or a file of real elements, repeated.
//
// Any thread. An unreadable file is thrown as std::runtime_error.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "compression/element_type.h"

namespace weft::bench {

// `file` empty: normal numbers.
std::vector<std::byte> measured_data(compression::ElementType type, std::size_t bytes,
                                     const std::string& file);

}  // namespace weft::bench

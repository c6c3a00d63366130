#include "transport/engine/pci_path.h"

#include <stdlib.h>

#include <cctype>
#include <memory>

namespace weft::engine {

bool is_pci_function(std::string_view component) {
  const std::size_t domain = component.find(':');
  if (domain == std::string_view::npos || domain < 4 || component.size() != domain + 8) return false;
  const auto hex = [&](std::size_t at) {
    return std::isxdigit(static_cast<unsigned char>(component[at])) != 0;
  };
  for (std::size_t i = 0; i < domain; ++i) {
    if (!hex(i)) return false;
  }
  return hex(domain + 1) && hex(domain + 2) && component[domain + 3] == ':' && hex(domain + 4) &&
         hex(domain + 5) && component[domain + 6] == '.' && hex(domain + 7);
}

std::string pci_function_of(const std::string& folder) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(folder.c_str(), nullptr), free);
  if (real == nullptr) return "";
  std::string path = real.get();
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return "";
    if (is_pci_function(std::string_view(path).substr(slash + 1))) return path;
    path.resize(slash);
  }
  return "";
}

}  // namespace weft::engine

#include "transport/bootstrap/host_list.h"

namespace weft::bootstrap {

std::optional<std::string> first_host(std::string_view list) {
  std::string host;
  for (std::size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    if (list[i] != '[') {
      if (list[i] == ']' || list[i] == ' ') return std::nullopt;
      host += list[i];
      continue;
    }
    // Of "[01-04,07]" the first host has "01".
    const std::size_t end = list.find(']', i);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view ranges = list.substr(i + 1, end - i - 1);
    const std::string_view number = ranges.substr(0, ranges.find_first_of(",-"));
    if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos)
      return std::nullopt;
    host += number;
    i = end;
  }
  if (host.empty()) return std::nullopt;
  return host;
}

}  // namespace weft::bootstrap

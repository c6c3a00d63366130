#include "transport/engine/hca_filter.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace weft::engine {
namespace {

constexpr std::string_view kHcaSyntax =
    " Give a comma list of device name prefixes (\"mlx5\"), exact names (\"=mlx5_0,mlx5_1\"), or either with "
    "^ in "
    "front to exclude (\"^mlx5_3\", \"^=mlx5_3\"); \":1\" behind a name means that port only.";
constexpr int kMaxPort = 255;

// Why `name` can be no device's name or prefix of one; empty where it can.
std::string fault_of_device_name(std::string_view name) {
  if (name.empty()) return "no device stands in front of ':'";
  if (name[0] == '^' || name[0] == '=') {
    return "'" + std::string(1, name[0]) +
           "' stands only at the start (\"^=\" in this order) and holds for the whole list";
  }
  if (name.size() > HcaFilter::kMaxNameBytes) {
    return "\"" + std::string(name) + "\" is longer than the " + std::to_string(HcaFilter::kMaxNameBytes) +
           " bytes of a device name";
  }
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) return "a device name has no blanks or control characters";
  if (name.find('/') != std::string_view::npos) return "a device name has no '/'";
  if (name.find_first_of("*?[") != std::string_view::npos) {
    return "names are prefixes already, patterns with * ? [ are not understood";
  }
  return "";
}

std::optional<int> port_number(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > kMaxPort) {
    return std::nullopt;
  }
  return port;
}

}  // namespace

Result<HcaFilter> HcaFilter::parse(std::string_view text, std::string_view variable) {
  HcaFilter filter;
  filter.text_ = text;
  if (text.empty()) return filter;
  const auto refuse = [&](const std::string& why) {
    return Status(StatusCode::kBadConfiguration, std::string(variable) + "=\"" + std::string(text) +
                                                     "\": " + why + "." + std::string(kHcaSyntax));
  };

  std::string_view rest = text;
  if (rest.starts_with('^')) {
    filter.exclude_ = true;
    rest.remove_prefix(1);
  }
  if (rest.starts_with('=')) {
    filter.exact_ = true;
    rest.remove_prefix(1);
  }
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (item.empty()) continue;
    const std::size_t colon = std::min(item.find(':'), item.size());
    Entry entry{std::string(item.substr(0, colon)), 0};
    if (const std::string fault = fault_of_device_name(entry.name); !fault.empty()) return refuse(fault);
    if (colon < item.size()) {
      const auto port = port_number(item.substr(colon + 1));
      if (!port) return refuse("only a port number from 1 to 255 may follow ':'");
      entry.port = *port;
    }
    if (filter.entries_.size() == kMaxEntries) {
      return refuse("more than " + std::to_string(kMaxEntries) + " devices");
    }
    filter.entries_.push_back(std::move(entry));
  }
  if (filter.entries_.empty()) return refuse("it names no device");
  return filter;
}

bool HcaFilter::matches(std::string_view device, int port) const {
  if (entries_.empty()) return true;
  const bool listed = std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    const bool named = exact_ ? device == entry.name : device.starts_with(entry.name);
    return named && (entry.port == 0 || entry.port == port);
  });
  return listed != exclude_;
}

}  // namespace weft::engine

#include "transport/engine/interface_filter.h"

#include <algorithm>

namespace weft::engine {
namespace {

constexpr std::string_view kSyntax =
    " Give a comma list of name prefixes (\"eth,ib\"), exact names (\"=eth0,eth1\"), or either with ^ in "
    "front to "
    "exclude (\"^docker\", \"^=eth3\").";

// Why `name` can be no interface's name or prefix of one; empty where it can.
std::string fault_of_name(std::string_view name) {
  if (name[0] == '^' || name[0] == '=') {
    return "'" + std::string(1, name[0]) +
           "' stands only at the start (\"^=\" in this order) and holds for the whole list";
  }
  if (name.size() > InterfaceFilter::kMaxNameBytes) {
    return "\"" + std::string(name) + "\" is longer than the " +
           std::to_string(InterfaceFilter::kMaxNameBytes) + " bytes of an interface name";
  }
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) return "an interface name has no blanks or control characters";
  if (name.find('/') != std::string_view::npos) return "an interface name has no '/'";
  if (name.find_first_of("*?[") != std::string_view::npos) {
    return "names are prefixes already, patterns with * ? [ are not understood";
  }
  return "";
}

// Cuts ":digits" off; false where something else follows the colon or nothing stands before it.
bool cut_port(std::string_view* name) {
  const std::size_t colon = name->find(':');
  if (colon == std::string_view::npos) return true;
  const std::string_view port = name->substr(colon + 1);
  *name = name->substr(0, colon);
  return !name->empty() && !port.empty() &&
         std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<InterfaceFilter> InterfaceFilter::parse(std::string_view text, std::string_view variable) {
  InterfaceFilter filter;
  filter.text_ = text;
  if (text.empty()) return filter;
  const auto refuse = [&](const std::string& why) {
    return Status(StatusCode::kBadConfiguration, std::string(variable) + "=\"" + std::string(text) +
                                                     "\": " + why + "." + std::string(kSyntax));
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
    std::string_view name = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (name.empty()) continue;
    if (!cut_port(&name)) return refuse("only a port number may follow ':'");
    if (const std::string fault = fault_of_name(name); !fault.empty()) return refuse(fault);
    if (filter.names_.size() == kMaxNames) {
      return refuse("more than " + std::to_string(kMaxNames) + " names");
    }
    filter.names_.emplace_back(name);
  }
  if (filter.names_.empty()) return refuse("it names no interface");
  return filter;
}

bool InterfaceFilter::matches(std::string_view interface_name) const {
  if (names_.empty()) return true;
  const bool listed = std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
    return exact_ ? interface_name == name : interface_name.starts_with(name);
  });
  return listed != exclude_;
}

}  // namespace weft::engine

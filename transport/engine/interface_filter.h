// Which network interfaces the user wants, in the words of NCCL_SOCKET_IFNAME:
//
//   list   = [ "^" ] [ "=" ] name { "," name }
//   name   = 1 to 15 bytes without blank, "/", ":", "," [ ":" digits ]
//
//   eth,ib      every interface whose name starts with eth or ib
//   =eth0,eth1  these two and no other
//   ^docker     all but those that start with docker
//   ^=eth3      all but eth3
//
// "^" and "=" stand once, at the start, in this order, and hold for the whole list. A port behind a name
// (eth0:0) is read and ignored and empty entries are skipped, both as NCCL does. What NCCL takes without a
// word although it can match nothing (a lone "^", "=^", "^" or "=" in front of a later name, a name longer
// than the kernel allows) is refused. Only the syntax: which interfaces there are is a backend's to know.
// Values; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "weft/status.h"

namespace weft::engine {

class InterfaceFilter {
 public:
  static constexpr std::size_t kMaxNames = 32;
  static constexpr std::size_t kMaxNameBytes = 15;

  // Matches every interface.
  InterfaceFilter() = default;

  // An empty `text` gives the filter that matches all. `variable` is the environment variable that the text
  // came from, for the message of kBadConfiguration.
  static Result<InterfaceFilter> parse(std::string_view text, std::string_view variable = "WEFT_IF");

  bool matches(std::string_view interface_name) const;

  // Whether the user picked interfaces by name ("eth0", not "^eth0" and not nothing): such a choice also
  // takes loopback, docker* and link-local addresses, which are otherwise a last resort.
  bool picks_by_name() const { return !names_.empty() && !exclude_; }

  // As it was given, for messages.
  const std::string& text() const { return text_; }

 private:
  std::vector<std::string> names_;  // empty: everything matches
  bool exclude_ = false;
  bool exact_ = false;
  std::string text_;
};

}  // namespace weft::engine

// Which RDMA devices and ports the user wants, in the words of NCCL_IB_HCA:
//
//   list   = [ "^" ] [ "=" ] entry { "," entry }
//   entry  = 1 to 63 bytes without blank, "/", ":", "," [ ":" port ]
//   port   = 1 to 255
//
//   mlx5           every port of every device whose name starts with mlx5
//   =mlx5_1,mlx5_2 these two devices and no other
//   mlx5_0:1       port 1 of the devices whose names start with mlx5_0
//   ^mlx5_3        all but those that start with mlx5_3
//   ^=mlx5_3:2     all but port 2 of mlx5_3
//
// "^" and "=" stand once, at the start, in this order, and hold for the whole list; empty entries are
// skipped, both as NCCL does. mlx5_1 is a prefix of mlx5_10 too, here as there: "=" is what most people want.
// What NCCL takes without a word although it can match nothing (a lone "^", "^" or "=" in front of a later
// name, a port that is no number) is refused. Only the syntax: which devices there are is the verbs backend's
// to know, and configuration is checked in builds without it too. Values; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "weft/status.h"

namespace weft::engine {

class HcaFilter {
 public:
  static constexpr std::size_t kMaxEntries = 64;
  static constexpr std::size_t kMaxNameBytes = 63;

  // Matches every port of every device.
  HcaFilter() = default;

  // An empty `text` gives the filter that matches all. `variable` is the environment variable that the text
  // came from, for the message of kBadConfiguration.
  static Result<HcaFilter> parse(std::string_view text, std::string_view variable = "WEFT_IB_HCA");

  bool matches(std::string_view device, int port) const;

  // As it was given, for messages.
  const std::string& text() const { return text_; }

 private:
  struct Entry {
    std::string name;
    int port = 0;  // 0: any
  };

  std::vector<Entry> entries_;  // empty: everything matches
  bool exclude_ = false;
  bool exact_ = false;
  std::string text_;
};

}  // namespace weft::engine

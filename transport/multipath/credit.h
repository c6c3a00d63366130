// Which send meets which receive. The n-th send with a tag meets the n-th receive with it; both ends can tell
// alone, so no message needs to say it. The receiver grants credit by a clear-to-send for every receive, in
// order; the sender keeps them until a send takes them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "transport/multipath/messages.h"
#include "transport/multipath/types.h"

namespace weft::multipath {

struct Credit {
  std::uint64_t number = 0;  // of the receive
  std::uint64_t capacity = 0;
  std::uint32_t tag = 0;
};

class CreditStore {
 public:
  // A credit came. Credits count in order of their numbers, and `seen()` tells the peer how far they are
  // here; one that overtook another, on a faster path, is kept until its turn. False: no honest peer sends
  // it, because its slot cannot be free yet.
  bool add(const Credit& credit);
  std::uint64_t seen() const { return seen_; }

  // Takes the oldest credit with this tag.
  std::optional<Credit> take(std::uint32_t tag);

 private:
  std::array<Credit, kSlots> credits_{};
  std::array<bool, kSlots> present_{};  // counted, and taken by no send
  std::array<bool, kSlots> early_{};    // not counted yet
  SlotList waiting_;
  std::uint64_t seen_ = 0;
};

}  // namespace weft::multipath

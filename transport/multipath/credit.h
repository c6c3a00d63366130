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
  // Credits are taken in order; `seen()` tells the peer how far. False: the slot is still taken by a credit
  // that no send has used, so the peer posted a receive in a slot that it cannot have freed.
  bool add(const Credit& credit) {
    std::uint16_t slot = static_cast<std::uint16_t>(credit.number % kSlots);
    if (present_[slot]) return false;
    credits_[slot] = credit;
    present_[slot] = true;
    waiting_.push_back(slot);
    ++seen_;
    return true;
  }
  std::uint64_t seen() const { return seen_; }

  // Takes the oldest credit with this tag.
  std::optional<Credit> take(std::uint32_t tag);

 private:
  std::array<Credit, kSlots> credits_{};
  std::array<bool, kSlots> present_{};
  SlotList waiting_;
  std::uint64_t seen_ = 0;
};

}  // namespace weft::multipath

#include "transport/multipath/credit.h"

#include "transport/multipath/planted_bug.h"

namespace weft::multipath {

std::optional<Credit> CreditStore::take(std::uint32_t tag) {
  std::optional<std::uint16_t> found;
  for (std::uint16_t slot = waiting_.front(); !SlotList::at_end(slot); slot = waiting_.next(slot)) {
    if (credits_[slot].tag != tag) continue;
    found = slot;
    if (!planted(Bug::kMatchesTagsOutOfOrder)) break;
  }
  if (!found) return std::nullopt;
  waiting_.remove(*found);
  present_[*found] = false;
  return credits_[*found];
}

}  // namespace weft::multipath

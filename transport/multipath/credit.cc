#include "transport/multipath/credit.h"

#include "transport/multipath/planted_bug.h"

namespace weft::multipath {

bool CreditStore::add(const Credit& credit) {
  if (credit.number < seen_) return true;
  if (credit.number >= seen_ + kSlots) return false;
  std::size_t slot = credit.number % kSlots;
  if (present_[slot]) return false;
  if (!early_[slot]) credits_[slot] = credit;
  early_[slot] = true;
  for (std::size_t next = seen_ % kSlots; early_[next]; next = ++seen_ % kSlots) {
    early_[next] = false;
    present_[next] = true;
    waiting_.push_back(static_cast<std::uint16_t>(next));
  }
  return true;
}

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

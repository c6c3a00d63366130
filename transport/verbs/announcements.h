// Which messages a path has carried a header of, so that their further chunks need none: at the sending end
// whether to send one, at the receiving end what it said. RC keeps a path's frames in order, so both ends
// agree.
//
// Threads: under the link's lock. Nothing allocates.
#pragma once

#include <array>
#include <cstdint>

#include "transport/multipath/frame.h"
#include "transport/multipath/types.h"

namespace weft::verbs {

class Announcements {
 public:
  // The header of a data frame went over the path, or came by it.
  void note(multipath::PathId path, const multipath::FrameHeader& header) {
    Announced& announced = messages_[header.slot];
    if (!same_message(announced.header, header)) announced = {header, 0};
    announced.paths |= multipath::mask_of(path);
  }
  bool has(multipath::PathId path, const multipath::FrameHeader& header) const {
    const Announced& announced = messages_[header.slot];
    return (announced.paths & multipath::mask_of(path)) != 0 && same_message(announced.header, header);
  }
  // The last header of a message in this slot that came by the path; null where none has.
  const multipath::FrameHeader* find(multipath::PathId path, std::uint8_t slot) const {
    const Announced& announced = messages_[slot];
    return (announced.paths & multipath::mask_of(path)) != 0 ? &announced.header : nullptr;
  }
  // The path begins anew.
  void forget(multipath::PathId path) {
    for (Announced& announced : messages_) announced.paths &= ~multipath::mask_of(path);
  }

 private:
  struct Announced {
    multipath::FrameHeader header;
    std::uint64_t paths = 0;
  };
  static bool same_message(const multipath::FrameHeader& a, const multipath::FrameHeader& b) {
    return a.epoch == b.epoch && a.slot == b.slot && a.message_bytes == b.message_bytes &&
           a.chunk_shift == b.chunk_shift && a.tag == b.tag;
  }

  std::array<Announced, multipath::kSlots> messages_{};
};

}  // namespace weft::verbs

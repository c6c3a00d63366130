// What goes out: frames become work requests.
#include <fmt/format.h>

#include <bit>
#include <cassert>
#include <cstring>

#include "transport/multipath/crc32c.h"
#include "transport/verbs/link_backend.h"

namespace weft::verbs {

using multipath::FrameHeader;
using multipath::FrameType;
using multipath::kHeaderBytes;
using multipath::kSlots;
using multipath::LossReason;
using multipath::mask_of;
using multipath::PathId;
using multipath::TimePoint;
using multipath::Transmission;

void LinkBackend::give_up(const std::string& why, multipath::Endpoint& endpoint) {
  if (failure_.empty()) failure_ = why;
  endpoint.give_up();
}

// Where the receive lies that a frame announces.
bool LinkBackend::put_place(const Transmission& transmission, Place& place, multipath::Endpoint& endpoint) {
  const FrameHeader& header = transmission.header;
  const bool rides = header.flags & multipath::kFlagCredit;
  const std::uint64_t capacity = rides ? header.credit_capacity : header.message_bytes;
  const std::uint32_t slot = rides ? header.credit_number % kSlots : header.slot;
  place.address = reinterpret_cast<std::uintptr_t>(transmission.landing);
  const bool is_device = transmission.landing_memory == MemoryKind::kDevice && capacity != 0;
  if (capacity <= kSmallPayloadBytes && !is_device) return true;
  if (is_device) place.flags |= Place::kNoCpuAccess;
  Status held = memory_.hold_receive(static_cast<std::uint16_t>(slot), transmission.landing, capacity,
                                     transmission.landing_memory, place);
  if (!held) give_up(held.message(), endpoint);
  return held.is_ok();
}

// The receiver can make the header of this chunk out of an earlier one of the same message that went the same
// way, and it has nothing else to say.
bool LinkBackend::needs_no_header(const Transmission& transmission, const PathSlot& slot) const {
  const FrameHeader& header = transmission.header;
  return header.message_bytes > std::uint64_t{1} << header.chunk_shift && !plan_.payload_checksum &&
         (header.flags & (multipath::kFlagCredit | multipath::kFlagTruncated)) == 0 &&
         header.path_acknowledged == slot.sent_acknowledged && header.credit_seen == slot.sent_credit_seen &&
         sent_.has(transmission.path, header);
}

// Nothing: the NIC cannot read it, and the connection is given up.
std::optional<LocalBytes> LinkBackend::registered_payload(const Transmission& transmission,
                                                          multipath::Endpoint& endpoint) {
  const FrameHeader& header = transmission.header;
  const std::byte* base = transmission.payload - header.offset;
  auto key =
      memory_.hold_send(transmission.send_slot, plane_of(transmission.path), base, header.message_bytes);
  if (key) return LocalBytes{transmission.payload, header.length, *key};
  give_up(key.status().message(), endpoint);
  return std::nullopt;
}

// The payload's way to its place. False: it cannot go, and the connection is given up.
bool LinkBackend::stage_payload(const Transmission& transmission, PathSlot& slot, bool& by_immediate,
                                multipath::Endpoint& endpoint) {
  const FrameHeader& header = transmission.header;
  const std::size_t plane = plane_of(transmission.path);
  const RemoteReceive& remote = remote_[header.slot];
  const bool known =
      remote.number == static_cast<std::uint32_t>(multipath::message_number(header.epoch, header.slot));
  assert(known && plane < remote.place.key_count);
  if (!known || plane >= remote.place.key_count) {
    give_up("a chunk is to go to a receive that was not announced; please report this", endpoint);
    return false;
  }
  const auto from = registered_payload(transmission, endpoint);
  if (!from) return false;
  const RemoteBytes to{remote.place.address + header.offset, remote.place.keys[plane]};
  by_immediate = needs_no_header(transmission, slot);
  if (by_immediate) {
    slot.queue->stage_chunk(*from, to,
                            {static_cast<std::uint8_t>(header.slot),
                             static_cast<std::uint16_t>(header.offset >> header.chunk_shift),
                             static_cast<std::uint16_t>(header.path_sequence & Immediate::kSequenceMask)});
  } else {
    slot.queue->stage_write(*from, to);
  }
  return true;
}

void LinkBackend::send(const Transmission& transmission, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(transmission.path);
  if (!slot.queue) return;
  QueuePair& queue = *slot.queue;
  FrameHeader header = transmission.header;
  const bool is_data = header.type == FrameType::kData;
  const bool announces = header.type == FrameType::kClearToSend || (header.flags & multipath::kFlagCredit);
  Place place;
  if (announces && !put_place(transmission, place, endpoint)) return;
  bool inside = header.length <= kSmallPayloadBytes;
  if (inside && header.length != 0) inside = (remote_[header.slot].place.flags & Place::kNoCpuAccess) == 0;
  bool by_immediate = false;
  if (!inside && !stage_payload(transmission, slot, by_immediate, endpoint)) return;
  // A small payload of device memory goes behind its header as others do, but the NIC fetches it there.
  std::optional<LocalBytes> gathered;
  if (inside && header.length != 0 && transmission.payload_memory == MemoryKind::kDevice) {
    gathered = registered_payload(transmission, endpoint);
    if (!gathered) return;
  }
  if (!by_immediate) {
    if (plan_.payload_checksum && header.length != 0) {
      header.flags |= multipath::kFlagChecksum;
      header.payload_checksum = multipath::crc32c(0, transmission.payload, header.length);
    }
    std::byte* const message = queue.message_room();
    std::size_t bytes = kHeaderBytes;
    multipath::encode(header, std::span<std::byte, kHeaderBytes>(message, kHeaderBytes));
    if (announces) {
      encode(place, message + bytes);
      bytes += place.encoded_bytes();
    }
    if (inside && header.length != 0 && !gathered) {
      std::memcpy(message + bytes, transmission.payload, header.length);
      bytes += header.length;
    }
    // Of each frame whose payload the NIC reads by itself it says when it is done with it.
    if (gathered) {
      queue.stage_gathered(bytes, *gathered);
    } else {
      queue.stage_message(bytes, !inside);
    }
    slot.sent_acknowledged = header.path_acknowledged;
    slot.sent_credit_seen = header.credit_seen;
    if (is_data) sent_.note(transmission.path, transmission.header);
  }
  if (!inside || gathered) memory_.note_use(transmission.send_slot, transmission.path, queue.last_staged());
  dirty_ |= mask_of(transmission.path);
  if (queue.needs_flush() || !queue.has_room()) flush_path(transmission.path, endpoint, now);
  if (slot.queue && !queue.has_room()) {
    slot.blocked = true;
    endpoint.path_blocked(transmission.path);
  }
}

void LinkBackend::flush(multipath::Endpoint& endpoint, TimePoint now) {
  for (std::uint64_t rest = dirty_; rest != 0; rest &= rest - 1)
    flush_path(static_cast<PathId>(std::countr_zero(rest)), endpoint, now);
}

void LinkBackend::flush_path(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  dirty_ &= ~mask_of(path);
  PathSlot& slot = at(path);
  if (slot.queue && !slot.queue->flush()) lose(path, LossReason::kLocalFault, endpoint, now);
}

}  // namespace weft::verbs

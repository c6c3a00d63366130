// Codes and decodes the payloads of one link's paths, and counts what that does. A chunk is coded when it
// goes to its path, never earlier, and by itself: it can be sent again coded differently, or not at all, over
// another path.
//
// One thread at a time, under the link's lock. Allocates when it is made; a look at the data and level
// archive also at their first use in each thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "compression/element_type.h"
#include "transport/multipath/endpoint.h"
#include "transport/tcp/coding_choice.h"
#include "weft/config.h"
#include "weft/connection.h"
#include "weft/status.h"

namespace weft::tcp {

// How payloads may be coded on a link whose ends have agreed on it.
struct CodingTerms {
  CompressionChoice sends = CompressionChoice::kOff;  // this end's wish for what it sends
  bool agreed = false;                                // both ends can decode and want to
  std::size_t largest_chunk_bytes = 0;                // larger ones are not coded
  std::optional<std::uint8_t> peers_version{};        // of coded slots; none: its WEFT_COMPRESS is off
};

// Where the ends have not agreed, for people: what is in the way, and what to do.
std::string why_not_agreed(const CodingTerms& terms);
std::string remedy_if_not_agreed(const CodingTerms& terms);

class PayloadCoder {
 public:
  explicit PayloadCoder(const CodingTerms& terms);

  std::size_t largest_chunk_bytes() const { return terms_.largest_chunk_bytes; }
  // What coding a chunk may need at most.
  static std::size_t room_for(std::size_t chunk_bytes);

  // Returns the bytes that stand at `room`, fewer than the chunk's; 0: send the chunk as it is.
  std::size_t encode(std::span<const std::byte> chunk, std::uint64_t message_bytes,
                     std::span<std::byte> room);
  // The text of an error says what is wrong with the slot.
  Status decode(std::span<const std::byte> slot, std::span<std::byte> chunk);
  // A chunk came or goes as it is.
  void note_plain_sent(std::size_t bytes) {
    window_.plain_bytes_sent += bytes, window_.wire_bytes_sent += bytes, ++window_.chunks_sent;
  }
  void note_plain_received(std::size_t bytes) { window_.uncoded_bytes_received += bytes; }
  // Time that the thread spent in a socket, with much data.
  void note_moved(multipath::Duration took);

  // Bytes on the wire for each byte of payload, lately.
  double wire_share() const { return wire_share_; }
  // About once a millisecond.
  void tick(const multipath::Endpoint& endpoint, multipath::TimePoint now);
  void describe(CompressionStatistics& statistics) const;

 private:
  CodingChoice::Step next_step(std::span<const std::byte> chunk, std::uint64_t message_bytes,
                               multipath::TimePoint now);
  CodingChoice::Step forced_step(std::span<const std::byte> chunk);
  std::size_t least_bytes() const;
  std::string why() const;

  const CodingTerms terms_;
  CodingChoice choice_;
  CodingChoice::Window window_;
  multipath::TimePoint window_began_{}, last_tick_{};
  bool was_sending_ = false;  // at the last tick
  multipath::Duration thread_work_at_begin_{};
  const void* window_thread_ = nullptr;
  double wire_share_ = 1;

  // A level that was asked for.
  compression::ElementType forced_type_ = compression::ElementType::kBytes;
  std::uint32_t chunks_until_sample_ = 0;
  bool forced_pays_ = false;

  // For people: whether what is sent is too short.
  bool was_ever_long_enough_ = false;
  std::uint32_t short_in_a_row_ = 0;

  CompressionStatistics::Counters sent_, received_;
};

}  // namespace weft::tcp

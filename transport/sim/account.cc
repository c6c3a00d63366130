#include "transport/sim/account.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace weft::sim {
namespace {

constexpr std::byte kGuard{0xC5};

std::uint64_t word_of(std::uint64_t id, std::uint64_t index) {
  std::uint64_t z = id * 0x9E3779B97F4A7C15u + index * 0xD1B54A32D192ED03u;
  return z ^ (z >> 29);
}

}  // namespace

Buffer::Buffer(std::size_t bytes) : bytes_(bytes), storage_(new std::byte[bytes + 2 * kGuardBytes]) {
  std::memset(storage_.get(), static_cast<int>(kGuard), bytes + 2 * kGuardBytes);
}

bool Buffer::guards_stand() const {
  auto stands = [](std::byte value) { return value == kGuard; };
  const std::byte* begin = storage_.get();
  return std::all_of(begin, begin + kGuardBytes, stands) &&
         std::all_of(begin + kGuardBytes + bytes_, begin + 2 * kGuardBytes + bytes_, stands);
}

void fill_message(std::uint64_t id, std::byte* to, std::size_t bytes) {
  std::size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    std::uint64_t word = word_of(id, at / 8);
    std::memcpy(to + at, &word, 8);
  }
  std::uint64_t word = word_of(id, at / 8);
  std::memcpy(to + at, &word, bytes - at);
}

std::size_t differs_at(std::uint64_t id, const std::byte* at, std::size_t bytes) {
  std::size_t offset = 0;
  for (; offset + 8 <= bytes; offset += 8) {
    std::uint64_t expected = word_of(id, offset / 8);
    if (std::memcmp(at + offset, &expected, 8) != 0) break;
  }
  std::uint64_t expected = word_of(id, offset / 8);
  std::byte raw[8];
  std::memcpy(raw, &expected, 8);
  for (std::size_t i = 0; offset < bytes; ++i, ++offset)
    if (i == 8 || at[offset] != raw[i]) break;
  return offset;
}

void Account::violation(std::string text) {
  if (violation_.empty()) violation_ = std::move(text);
}

std::string Account::where(int sender, const Message& message) const {
  char text[160];
  std::snprintf(
      text, sizeof text, "message %llu (host %d sends %llu bytes to capacity %llu, tag %u, number %lld)",
      static_cast<unsigned long long>(message.id), sender, static_cast<unsigned long long>(message.bytes),
      static_cast<unsigned long long>(message.capacity), message.tag,
      message.received ? static_cast<long long>(message.number) : -1LL);
  return text;
}

void Account::plan(int sender, std::uint64_t bytes, std::uint64_t capacity, std::uint32_t tag) {
  Message message;
  message.id = next_id_++;
  message.bytes = bytes;
  message.capacity = capacity;
  message.tag = tag;
  directions_[sender].messages.push_back(std::move(message));
}

void Account::send_posted(int sender, std::size_t k, const std::byte* from, TimePoint now) {
  Message& message = directions_[sender].messages[k];
  message.sent = true;
  message.from = from;
  message.send_posted = now;
}

void Account::receive_posted(int sender, std::size_t k, std::byte* to, TimePoint now) {
  Direction& direction = directions_[sender];
  Message& message = direction.messages[k];
  message.received = true;
  message.number = direction.by_number.size();
  message.to = to;
  message.receive_posted = now;
  message.landings.assign(message.wire_bytes(), 0);
  direction.by_number.push_back(k);
}

Account::Message* Account::by_number(int sender, std::uint64_t number) {
  Direction& direction = directions_[sender];
  if (number >= direction.by_number.size()) return nullptr;
  return &direction.messages[direction.by_number[number]];
}

void Account::departs(int sender, std::uint64_t number, const std::byte* from, std::uint64_t offset,
                      std::uint32_t length, std::size_t path) {
  Message* message = by_number(sender, number);
  if (message == nullptr) return violation("data for a receive that was never posted");
  message->touched_paths |= std::uint64_t{1} << path;
  if (length == 0) return;
  if (!message->sent) return violation("data of a send that was not posted: " + where(sender, *message));
  if (offset + length > message->wire_bytes())
    return violation("data beyond the end of " + where(sender, *message));
  if (from != message->from + offset)
    return violation("a send met the wrong receive (tag order): " + where(sender, *message));
  if (message->send_reported)
    return violation("I3: the wire reads a send buffer after its completion: " + where(sender, *message));
}

bool Account::lands(int sender, std::uint64_t number, const std::byte* at, std::uint64_t offset,
                    std::uint32_t length) {
  if (length == 0) return true;
  Message* message = by_number(sender, number);
  if (message == nullptr) {
    violation("data lands for a receive that was never posted");
    return false;
  }
  if (offset + length > message->wire_bytes() || at != message->to + offset) {
    violation("I8: data lands outside its buffer: " + where(sender, *message));
    return false;
  }
  if (message->receive_reported) {
    violation("I2: data lands after the receive was reported: " + where(sender, *message));
    return false;
  }
  for (std::uint64_t i = offset; i < offset + length; ++i) {
    if (message->landings[i] != 0) ++bytes_landed_again;
    message->landings[i] = static_cast<std::uint8_t>(std::min(message->landings[i] + 1, 255));
  }
  bytes_landed += length;
  return true;
}

void Account::send_completed(int sender, std::size_t k, const Completion& completion, bool may_fail) {
  Message& message = directions_[sender].messages[k];
  if (message.send_reported) return violation("I1: a send was reported twice: " + where(sender, message));
  message.send_reported = true;
  if (completion.status == StatusCode::kPeerLost) {
    ++failed;
    if (!may_fail) violation("I4: a send failed although a path works: " + where(sender, message));
    return;
  }
  ++completed;
  if (completion.bytes != message.bytes)
    return violation("I1: a send was reported with another size: " + where(sender, message));
  if (!message.received)
    return violation("I3: a send is done that no receive met: " + where(sender, message));
  StatusCode expected = message.bytes > message.capacity ? StatusCode::kTruncated : StatusCode::kOk;
  if (completion.status != expected)
    return violation("a send has status " + std::to_string(static_cast<int>(completion.status)) +
                     " instead of " + std::to_string(static_cast<int>(expected)) + ": " +
                     where(sender, message));
  if (!message.receive_reported &&
      std::find(message.landings.begin(), message.landings.end(), 0) != message.landings.end())
    violation("I3: a send is done and not all of it has landed: " + where(sender, message));
}

void Account::receive_completed(int sender, std::size_t k, const Completion& completion, bool may_fail,
                                Buffer& buffer) {
  Message& message = directions_[sender].messages[k];
  if (message.receive_reported)
    return violation("I1: a receive was reported twice: " + where(sender, message));
  message.receive_reported = true;
  if (!buffer.guards_stand())
    return violation("I8: bytes beside the buffer changed: " + where(sender, message));
  if (completion.status == StatusCode::kPeerLost) {
    ++failed;
    if (!may_fail) violation("I4: a receive failed although a path works: " + where(sender, message));
    return;
  }
  ++completed;
  if (!message.sent) return violation("I1: a receive is done that no send met: " + where(sender, message));
  if (completion.bytes != message.bytes)
    return violation("I1: a receive was reported with another size: " + where(sender, message));
  StatusCode expected = message.bytes > message.capacity ? StatusCode::kTruncated : StatusCode::kOk;
  if (completion.status != expected)
    return violation("a receive has status " + std::to_string(static_cast<int>(completion.status)) +
                     " instead of " + std::to_string(static_cast<int>(expected)) + ": " +
                     where(sender, message));
  bytes_received += message.wire_bytes();
  if (std::find(message.landings.begin(), message.landings.end(), 0) != message.landings.end())
    return violation("I1: a receive is done and not all of it has landed: " + where(sender, message));
  std::size_t difference = differs_at(message.id, message.to, message.wire_bytes());
  if (difference != message.wire_bytes())
    violation("I1: byte " + std::to_string(difference) + " is wrong: " + where(sender, message));
  // What landed is counted no more; a long run would keep all of it.
  std::vector<std::uint8_t>().swap(message.landings);
}

}  // namespace weft::sim

// Little-endian reading and writing within fixed bounds. Going past the end reads zeros, writes nothing and
// is remembered, so that a decoder checks once at the end and can never run out of its buffer. Not for the
// data path.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::tcp {

class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> out) : out_(out) {}

  void u8(std::uint8_t value) { little_endian(value, 1); }
  void u16(std::uint16_t value) { little_endian(value, 2); }
  void u32(std::uint32_t value) { little_endian(value, 4); }
  void u64(std::uint64_t value) { little_endian(value, 8); }
  void bytes(std::span<const std::byte> value) {
    if (!reserve(value.size())) return;
    std::copy(value.begin(), value.end(), out_.begin() + static_cast<std::ptrdiff_t>(at_ - value.size()));
  }

  std::size_t written() const { return at_; }
  std::size_t room() const { return out_.size() - at_; }
  bool overflowed() const { return overflowed_; }

 private:
  bool reserve(std::size_t count) {
    if (overflowed_ || count > room()) {
      overflowed_ = true;
      return false;
    }
    at_ += count;
    return true;
  }
  void little_endian(std::uint64_t value, std::size_t count) {
    if (!reserve(count)) return;
    for (std::size_t i = at_ - count; i < at_; ++i, value >>= 8)
      out_[i] = static_cast<std::byte>(value & 0xff);
  }

  std::span<std::byte> out_;
  std::size_t at_ = 0;
  bool overflowed_ = false;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> in) : in_(in) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(little_endian(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(little_endian(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(little_endian(4)); }
  std::uint64_t u64() { return little_endian(8); }
  // A view into the input, empty where that many bytes are not left.
  std::span<const std::byte> bytes(std::size_t count) {
    if (overrun_ || count > left()) {
      overrun_ = true;
      return {};
    }
    at_ += count;
    return in_.subspan(at_ - count, count);
  }
  // Fills all of `out`, or leaves it as it was.
  void copy_to(std::span<std::byte> out) {
    const auto source = bytes(out.size());
    std::copy(source.begin(), source.end(), out.begin());
  }

  std::size_t left() const { return in_.size() - at_; }
  bool overrun() const { return overrun_; }

 private:
  std::uint64_t little_endian(std::size_t count) {
    std::uint64_t value = 0;
    int shift = 0;
    for (const std::byte byte : bytes(count)) {
      value |= std::uint64_t{std::to_integer<std::uint8_t>(byte)} << shift;
      shift += 8;
    }
    return value;
  }

  std::span<const std::byte> in_;
  std::size_t at_ = 0;
  bool overrun_ = false;
};

}  // namespace weft::tcp

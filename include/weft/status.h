// What a set-up call returns: success, or an error that says what happened, where (device, port, peer, path,
// rank) and what to do. The data path reports through completions instead (connection.h).
#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace weft {

enum class StatusCode : unsigned char {
  kOk = 0,
  kInvalidArgument,    // the caller passed something that can never work
  kBadConfiguration,   // a WEFT_* variable or a flag has a value that is refused
  kUnreachable,        // no way to the peer was found
  kPeerLost,           // every path to the peer failed and stayed so for the deadline (I5)
  kPermissionDenied,   // the peer does not know the shared secret
  kProtocolError,      // the peer sent what it must not
  kTruncated,          // a send was larger than the receive it met
  kResourceExhausted,  // a limit with a name was reached; nothing was done
  kCancelled,          // closed while the request was pending
  kInternal,           // a system call failed that should not
};

std::string_view to_string(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status ok() { return {}; }

  bool is_ok() const { return code_ == StatusCode::kOk; }
  explicit operator bool() const { return is_ok(); }
  StatusCode code() const { return code_; }
  // One line without a trailing newline: what happened, where, what to do.
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: conversion is the point
  Result(Status status) : held_(std::in_place_index<1>, std::move(status)) {
    assert(!this->status().is_ok());
  }

  bool is_ok() const { return held_.index() == 0; }
  explicit operator bool() const { return is_ok(); }
  T& value() { return std::get<0>(held_); }
  const T& value() const { return std::get<0>(held_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Status status() const { return is_ok() ? Status::ok() : std::get<1>(held_); }

 private:
  std::variant<T, Status> held_;
};

}  // namespace weft

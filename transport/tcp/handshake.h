// The handshake that opens a path, as one state machine for each side. No socket, clock or random source
// inside: the caller hands in bytes, nonces and (for the server) a decision, and sends what output() holds. A
// deadline for the whole is the caller's to keep.
//
//   client                                   server
//      <------------------ CHALLENGE ---------  at once
//      ---- HELLO ----------------------->
//                                            kDecision: the caller reads hello(), then accept() or refuse()
//      <------------------- WELCOME ----------
//
// With WEFT_SECRET on both sides each proves that it knows it: HELLO is sealed over CHALLENGE, WELCOME over
// both before it. Nonces of both sides make every seal good for one handshake only. If only one side has a
// secret, or they differ, both end with kPermissionDenied and a message that says which it was. A server
// seals nothing, refusals included, for a client that has not proved itself.
//
// The peer is not trusted: memory is bounded, every wrong byte ends in kFailed. One object is one
// connection's; one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/tcp/handshake_message.h"
#include "transport/tcp/handshake_secret.h"
#include "weft/status.h"

namespace weft::tcp {

enum class HandshakeState : unsigned char {
  kInProgress,  // send output(), then feed() more
  kDecision,    // server only: hello() is valid, call accept() or refuse()
  kDone,        // send the rest of output(); bytes that feed() did not take belong to the data path
  kFailed,      // status() says why; send the rest of output() if possible (it tells the peer), then close
};

// Puts one message together from whatever pieces come, never taking a byte beyond its end.
class MessageAssembler {
 public:
  // How many bytes of `bytes` it took.
  std::size_t feed(std::span<const std::byte> bytes);
  bool has_header() const { return filled_ >= kHandshakeHeaderBytes; }
  const Result<MessageHeader>& header() const { return header_; }
  bool is_complete() const { return has_header() && header_.is_ok() && filled_ == header_->length; }
  std::span<const std::byte> message() const { return std::span(bytes_).first(filled_); }

 private:
  std::array<std::byte, kMaxHandshakeMessageBytes> bytes_;
  std::size_t filled_ = 0;
  Result<MessageHeader> header_ = MessageHeader{};
};

class ClientHandshake {
 public:
  // `secret` must outlive it. `hello` has its nonce filled with fresh random bytes. `peer` names the other
  // end in messages: "10.0.0.2:4711 from eth0".
  ClientHandshake(const HandshakeSecret& secret, Hello hello, std::string peer);

  // How many of the bytes it took: none any more once it is done or failed.
  std::size_t feed(std::span<const std::byte> bytes);
  std::span<const std::byte> output() const { return std::span(output_).subspan(sent_); }
  void sent(std::size_t bytes);
  // The peer closed the connection: fails with the likeliest reason, unless it was done.
  void closed();

  HandshakeState state() const { return state_; }
  const Status& status() const { return status_; }
  // kDone: what holds. kFailed after a refusal: refusal() has its code.
  const Welcome& welcome() const { return welcome_; }
  std::optional<RefusalCode> refusal() const { return refusal_; }

 private:
  void on_challenge();
  void on_welcome();
  void fail(StatusCode code, const std::string& what);

  const HandshakeSecret& secret_;
  const Hello hello_;
  const std::string peer_;
  HandshakeState state_ = HandshakeState::kInProgress;
  Status status_;
  bool hello_made_ = false;
  bool secret_required_ = false;
  MessageAssembler challenge_, reply_;
  std::vector<std::byte> output_;  // HELLO, kept until the end: WELCOME is sealed over it
  std::size_t sent_ = 0;
  Welcome welcome_;
  std::optional<RefusalCode> refusal_;
};

class ServerHandshake {
 public:
  // `secret` must outlive it; `nonce` is fresh and random; `peer` names the other end in messages.
  ServerHandshake(const HandshakeSecret& secret, const Nonce& nonce, std::string peer);

  std::size_t feed(std::span<const std::byte> bytes);
  std::span<const std::byte> output() const { return std::span(output_).subspan(sent_); }
  void sent(std::size_t bytes);
  void closed();

  HandshakeState state() const { return state_; }
  const Status& status() const { return status_; }
  // From kDecision on.
  const Hello& hello() const { return hello_; }

  // In kDecision only. `welcome.code` and `welcome.text` are not looked at. kInvalidArgument, and nothing
  // done, where it does not fit the limits of handshake_message.h.
  Status accept(Welcome welcome);
  // In kDecision only. The peer and status() see code and text; the text is cut and made printable.
  void refuse(RefusalCode code, std::string_view text);

 private:
  void on_hello();
  void send_refusal(RefusalCode code, std::string_view text, bool sealed);
  void append_sealed(std::vector<std::byte> message, bool sealed);
  void fail(StatusCode code, const std::string& what);

  const HandshakeSecret& secret_;
  const std::string peer_;
  HandshakeState state_ = HandshakeState::kInProgress;
  Status status_;
  MessageAssembler incoming_;
  Hello hello_;
  std::vector<std::byte> output_;  // CHALLENGE, then WELCOME
  std::size_t sent_ = 0;
};

// What a refusal means, in words for the client's user.
std::string_view to_string(RefusalCode code);
// The StatusCode that a client gets for it.
StatusCode status_code_of(RefusalCode code);

}  // namespace weft::tcp

#include "transport/tcp/handshake.h"

#include <algorithm>
#include <cassert>

namespace weft::tcp {
namespace {

constexpr std::string_view kSetAlike = "Set the same WEFT_SECRET for all processes of the job, or for none.";

std::span<const std::byte> without_mac(std::span<const std::byte> message) {
  return message.first(message.size() - sizeof(Mac));
}

void put_mac(const Mac& mac, std::vector<std::byte>* message) {
  std::copy(mac.begin(), mac.end(), message->end() - sizeof(Mac));
}

std::string other_version(std::uint8_t version) {
  return "it speaks handshake version " + std::to_string(version) + ", this process version " +
         std::to_string(kHandshakeVersion) + "; run the same Weft everywhere";
}

const HandshakeOption* unsupported_option(const std::vector<HandshakeOption>& options) {
  // No option is known to this version.
  const auto found = std::find_if(options.begin(), options.end(), [](const HandshakeOption& option) {
    return (option.type & kCriticalOption) != 0;
  });
  return found == options.end() ? nullptr : &*found;
}

std::string name_of(const HandshakeOption& option) {
  return "option " + std::to_string(option.type & ~kCriticalOption) +
         ", which this version of Weft does not know";
}

}  // namespace

std::size_t MessageAssembler::feed(std::span<const std::byte> bytes) {
  std::size_t taken = 0;
  const auto fill_to = [&](std::size_t end) {
    const std::size_t count = std::min(end - filled_, bytes.size() - taken);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(taken), count,
                bytes_.begin() + static_cast<std::ptrdiff_t>(filled_));
    filled_ += count;
    taken += count;
  };
  if (!has_header()) {
    fill_to(kHandshakeHeaderBytes);
    if (!has_header()) return taken;
    header_ = decode_header(message());
  }
  if (header_.is_ok()) fill_to(header_->length);
  return taken;
}

// --- client
// --------------------------------------------------------------------------------------------------------

ClientHandshake::ClientHandshake(const HandshakeSecret& secret, Hello hello, std::string peer)
    : secret_(secret), hello_(std::move(hello)), peer_(std::move(peer)) {}

void ClientHandshake::sent(std::size_t bytes) {
  assert(bytes <= output().size());
  sent_ += bytes;
}

void ClientHandshake::fail(StatusCode code, const std::string& what) {
  state_ = HandshakeState::kFailed;
  status_ = Status(code, "connecting to " + peer_ + ": " + what);
}

std::size_t ClientHandshake::feed(std::span<const std::byte> bytes) {
  std::size_t taken = 0;
  while (state_ == HandshakeState::kInProgress && taken < bytes.size()) {
    MessageAssembler& incoming = hello_made_ ? reply_ : challenge_;
    taken += incoming.feed(bytes.subspan(taken));
    if (!incoming.has_header()) break;
    if (!incoming.header().is_ok()) {
      fail(StatusCode::kProtocolError,
           incoming.header().status().message() + "; is another program listening there?");
    } else if (incoming.header()->version != kHandshakeVersion) {
      fail(StatusCode::kProtocolError, other_version(incoming.header()->version));
    } else if (incoming.is_complete()) {
      hello_made_ ? on_welcome() : on_challenge();
    }
  }
  return taken;
}

void ClientHandshake::on_challenge() {
  const auto challenge = decode_challenge(challenge_.message());
  if (!challenge.is_ok()) return fail(StatusCode::kProtocolError, challenge.status().message());
  secret_required_ = challenge->secret_required;
  // HELLO goes out even if the secrets cannot match, so that the server's log has the reason too.
  auto bytes = encode(hello_, secret_.is_set());
  if (!bytes.is_ok()) return fail(bytes.status().code(), bytes.status().message());
  output_ = std::move(*bytes);
  if (secret_.is_set()) {
    put_mac(secret_.seal(Role::kClient, {challenge_.message(), without_mac(output_)}), &output_);
  }
  hello_made_ = true;
}

void ClientHandshake::on_welcome() {
  auto decoded = decode_welcome(reply_.message());
  if (!decoded.is_ok()) return fail(StatusCode::kProtocolError, decoded.status().message());
  const bool proved = decoded->sealed && secret_.is_set();
  if (proved && !secret_.verify(Role::kServer, {challenge_.message(), output_, without_mac(reply_.message())},
                                reply_.message().last(sizeof(Mac)))) {
    return fail(StatusCode::kPermissionDenied,
                "its answer is not sealed with this process's WEFT_SECRET. " + std::string(kSetAlike));
  }
  const Welcome& welcome = decoded->message;
  if (welcome.code != RefusalCode::kNone) {
    // Anybody could have forged it; it can only make this attempt fail, as a reset connection could.
    refusal_ = welcome.code;
    std::string what = "refused: " + std::string(to_string(welcome.code));
    if (!welcome.text.empty()) what += " (it says: " + welcome.text + ")";
    return fail(status_code_of(welcome.code), what);
  }
  if (secret_.is_set() && !decoded->sealed) {
    return fail(StatusCode::kPermissionDenied,
                "it has not shown that it knows WEFT_SECRET, which is set here. " + std::string(kSetAlike));
  }
  if (!secret_.is_set() && (decoded->sealed || secret_required_)) {
    return fail(StatusCode::kProtocolError, "it asks for a secret and accepted this process without one");
  }
  if (const HandshakeOption* option = unsupported_option(welcome.options); option != nullptr) {
    return fail(StatusCode::kProtocolError, "it insists on " + name_of(*option));
  }
  if (welcome.path_index != hello_.path_index) {
    return fail(StatusCode::kProtocolError, "it accepted path " + std::to_string(welcome.path_index) +
                                                " instead of " + std::to_string(hello_.path_index));
  }
  if (welcome.parameters.chunk_limit_bytes > hello_.parameters.chunk_limit_bytes) {
    return fail(StatusCode::kProtocolError, "it raised the chunk limit that was asked for");
  }
  welcome_ = std::move(decoded->message);
  state_ = HandshakeState::kDone;
}

void ClientHandshake::closed() {
  if (state_ != HandshakeState::kInProgress) return;
  if (!hello_made_) {
    return fail(StatusCode::kUnreachable, "it closed the connection before it sent a challenge");
  }
  if (secret_required_ != secret_.is_set()) {
    return fail(StatusCode::kPermissionDenied,
                std::string(secret_required_ ? "it asks for a WEFT_SECRET and none is set here. "
                                             : "WEFT_SECRET is set here and not there. ") +
                    std::string(kSetAlike));
  }
  fail(StatusCode::kUnreachable, "it closed the connection during the handshake without a reason");
}

// --- server
// --------------------------------------------------------------------------------------------------------

ServerHandshake::ServerHandshake(const HandshakeSecret& secret, const Nonce& nonce, std::string peer)
    : secret_(secret), peer_(std::move(peer)), output_(encode(Challenge{nonce, secret.is_set()})) {}

void ServerHandshake::sent(std::size_t bytes) {
  assert(bytes <= output().size());
  sent_ += bytes;
}

void ServerHandshake::fail(StatusCode code, const std::string& what) {
  state_ = HandshakeState::kFailed;
  status_ = Status(code, "connection from " + peer_ + ": " + what);
}

std::size_t ServerHandshake::feed(std::span<const std::byte> bytes) {
  if (state_ != HandshakeState::kInProgress) return 0;
  const std::size_t taken = incoming_.feed(bytes);
  if (!incoming_.has_header()) return taken;
  if (!incoming_.header().is_ok()) {
    // No answer to what is not Weft.
    fail(StatusCode::kProtocolError, incoming_.header().status().message());
  } else if (incoming_.header()->version != kHandshakeVersion) {
    send_refusal(RefusalCode::kVersion, "", false);
    fail(StatusCode::kProtocolError, other_version(incoming_.header()->version));
  } else if (incoming_.is_complete()) {
    on_hello();
  }
  return taken;
}

void ServerHandshake::on_hello() {
  auto decoded = decode_hello(incoming_.message());
  if (!decoded.is_ok()) {
    send_refusal(RefusalCode::kMalformed, decoded.status().message(), false);
    return fail(StatusCode::kProtocolError, decoded.status().message());
  }
  if (!decoded->sealed && secret_.is_set()) {
    send_refusal(RefusalCode::kSecretRequired, "", false);
    return fail(StatusCode::kPermissionDenied,
                "refused, it shows no WEFT_SECRET, and one is set here. " + std::string(kSetAlike));
  }
  if (decoded->sealed && !secret_.is_set()) {
    send_refusal(RefusalCode::kSecretUnexpected, "", false);
    return fail(StatusCode::kPermissionDenied,
                "refused, it has a WEFT_SECRET, and none is set here. " + std::string(kSetAlike));
  }
  const auto challenge = std::span<const std::byte>(output_).first(kChallengeBytes);
  if (secret_.is_set() && !secret_.verify(Role::kClient, {challenge, without_mac(incoming_.message())},
                                          incoming_.message().last(sizeof(Mac)))) {
    send_refusal(RefusalCode::kSecretDiffers, "", false);
    return fail(StatusCode::kPermissionDenied,
                "refused, its WEFT_SECRET differs from the one that is set here. " + std::string(kSetAlike));
  }
  hello_ = std::move(decoded->message);
  state_ = HandshakeState::kDecision;
  if (const HandshakeOption* option = unsupported_option(hello_.options); option != nullptr) {
    refuse(RefusalCode::kUnsupportedOption,
           "the peer does not know option " + std::to_string(option->type & ~kCriticalOption));
  }
}

Status ServerHandshake::accept(Welcome welcome) {
  assert(state_ == HandshakeState::kDecision);
  welcome.code = RefusalCode::kNone;
  welcome.text.clear();
  auto bytes = encode(welcome, secret_.is_set());
  if (!bytes.is_ok()) return bytes.status();
  append_sealed(std::move(*bytes), secret_.is_set());
  state_ = HandshakeState::kDone;
  return Status::ok();
}

void ServerHandshake::refuse(RefusalCode code, std::string_view text) {
  assert(state_ == HandshakeState::kDecision && code != RefusalCode::kNone);
  send_refusal(code, text, secret_.is_set());
  std::string what = "refused: " + std::string(to_string(code));
  if (!text.empty()) what += " (" + printable(text) + ")";
  fail(status_code_of(code), what);
}

void ServerHandshake::send_refusal(RefusalCode code, std::string_view text, bool sealed) {
  Welcome welcome;
  welcome.code = code;
  welcome.text = printable(text.substr(0, kMaxRefusalTextBytes));
  auto bytes = encode(welcome, sealed);
  assert(bytes.is_ok());
  append_sealed(std::move(*bytes), sealed);
}

void ServerHandshake::append_sealed(std::vector<std::byte> message, bool sealed) {
  if (sealed) {
    const auto challenge = std::span<const std::byte>(output_).first(kChallengeBytes);
    put_mac(secret_.seal(Role::kServer, {challenge, incoming_.message(), without_mac(message)}), &message);
  }
  output_.insert(output_.end(), message.begin(), message.end());
}

void ServerHandshake::closed() {
  if (state_ == HandshakeState::kInProgress) {
    fail(StatusCode::kProtocolError, "it was closed before the handshake was over");
  } else if (state_ == HandshakeState::kDecision) {
    fail(StatusCode::kCancelled, "the peer gave up before it was accepted");
  }
}

// --- refusals
// ------------------------------------------------------------------------------------------------------

std::string_view to_string(RefusalCode code) {
  switch (code) {
    case RefusalCode::kNone:
      return "accepted";
    case RefusalCode::kMalformed:
      return "the request could not be read";
    case RefusalCode::kVersion:
      return "it speaks another version of the handshake; run the same Weft everywhere";
    case RefusalCode::kSecretRequired:
      return "the listener asks for a WEFT_SECRET and none was shown; set the same for all processes of the "
             "job";
    case RefusalCode::kSecretUnexpected:
      return "WEFT_SECRET is set on the connecting side only; set the same for all processes of the job, or "
             "for none";
    case RefusalCode::kSecretDiffers:
      return "WEFT_SECRET differs; set the same for all processes of the job";
    case RefusalCode::kUnknownListener:
      return "there is no such listener (any more); the address may be from an earlier run";
    case RefusalCode::kUnknownConnection:
      return "there is no such connection (any more)";
    case RefusalCode::kStalePath:
      return "the path is known there in another state";
    case RefusalCode::kLimit:
      return "a limit of the listener is reached";
    case RefusalCode::kUnsupportedOption:
      return "an option that was insisted on is not known there";
    case RefusalCode::kParameters:
      return "the parameters that were asked for cannot be met";
    case RefusalCode::kDenied:
      return "the path is denied by the administrator";
  }
  return "unknown code";
}

StatusCode status_code_of(RefusalCode code) {
  switch (code) {
    case RefusalCode::kNone:
      return StatusCode::kOk;
    case RefusalCode::kSecretRequired:
    case RefusalCode::kSecretUnexpected:
    case RefusalCode::kSecretDiffers:
    case RefusalCode::kDenied:
      return StatusCode::kPermissionDenied;
    case RefusalCode::kUnknownListener:
    case RefusalCode::kUnknownConnection:
    case RefusalCode::kStalePath:
      return StatusCode::kUnreachable;
    case RefusalCode::kLimit:
      return StatusCode::kResourceExhausted;
    case RefusalCode::kParameters:
      return StatusCode::kBadConfiguration;
    case RefusalCode::kMalformed:
    case RefusalCode::kVersion:
    case RefusalCode::kUnsupportedOption:
      return StatusCode::kProtocolError;
  }
  return StatusCode::kProtocolError;
}

}  // namespace weft::tcp

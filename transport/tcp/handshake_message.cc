#include "transport/tcp/handshake_message.h"

#include <algorithm>
#include <cassert>

#include "transport/tcp/address_codec.h"
#include "transport/tcp/byte_cursor.h"

namespace weft::tcp {
namespace {

constexpr std::uint32_t kHandshakeMagic = 0x48544657;  // "WFTH"
constexpr std::size_t kMacBytes = sizeof(Mac);

// Bits of the flags; those that are not here must be zero.
constexpr std::uint32_t kSecretRequiredFlag = 1;   // CHALLENGE
constexpr std::uint32_t kSealedFlag = 1;           // HELLO, WELCOME
constexpr std::uint32_t kPayloadChecksumFlag = 2;  // HELLO, WELCOME

std::size_t shortest(MessageType type) {
  switch (type) {
    case MessageType::kChallenge:
      return kChallengeBytes;
    case MessageType::kHello:
      return 80 + 2 + kMacBytes;
    case MessageType::kWelcome:
      return 24 + 3 + kMacBytes;
  }
  return 0;
}

std::size_t longest(MessageType type) {
  return type == MessageType::kChallenge ? kChallengeBytes : kMaxHandshakeMessageBytes;
}

Status malformed(const std::string& what) {
  return {StatusCode::kProtocolError, "malformed handshake: " + what};
}
Status impossible(const std::string& what) {
  return {StatusCode::kInvalidArgument, "handshake: " + what};
}

bool is_possible(const LinkParameters& parameters) {
  return parameters.chunk_limit_bytes >= kMinChunkLimitBytes &&
         parameters.chunk_limit_bytes <= kMaxChunkLimitBytes;
}

std::uint32_t flags_of(const LinkParameters& parameters, bool sealed) {
  return (sealed ? kSealedFlag : 0) | (parameters.payload_checksum ? kPayloadChecksumFlag : 0);
}

// --- writing
// -------------------------------------------------------------------------------------------------------

class MessageWriter {
 public:
  explicit MessageWriter(MessageType type) : bytes_(kMaxHandshakeMessageBytes), cursor_(bytes_) {
    cursor_.u32(kHandshakeMagic);
    cursor_.u8(kHandshakeVersion);
    cursor_.u8(static_cast<std::uint8_t>(type));
    cursor_.u16(0);  // the length, known at the end
  }
  ByteWriter& cursor() { return cursor_; }

  std::vector<std::byte> finish() {
    assert(!cursor_.overflowed() && "the limits on lists and texts keep every message within its bound");
    bytes_.resize(cursor_.written());
    ByteWriter(std::span(bytes_).subspan(6)).u16(static_cast<std::uint16_t>(bytes_.size()));
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  ByteWriter cursor_;
};

void write_endpoints(std::span<const Endpoint> endpoints, ByteWriter* writer) {
  writer->u8(static_cast<std::uint8_t>(endpoints.size()));
  for (const Endpoint& endpoint : endpoints) write_endpoint(endpoint, writer);
}

void write_options(std::span<const HandshakeOption> options, ByteWriter* writer) {
  writer->u8(static_cast<std::uint8_t>(options.size()));
  for (const HandshakeOption& option : options) {
    writer->u16(option.type);
    writer->u16(static_cast<std::uint16_t>(option.value.size()));
    writer->bytes(option.value);
  }
}

// --- reading
// -------------------------------------------------------------------------------------------------------

bool read_endpoints(ByteReader* reader, bool with_ports, std::vector<Endpoint>* endpoints) {
  const std::size_t count = reader->u8();
  if (count > kMaxHandshakeEndpoints) return false;
  endpoints->reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    Endpoint endpoint;
    if (!read_endpoint(reader, &endpoint) || (with_ports && endpoint.port == 0)) return false;
    endpoints->push_back(endpoint);
  }
  return true;
}

bool read_options(ByteReader* reader, std::vector<HandshakeOption>* options) {
  const std::size_t count = reader->u8();
  if (count > kMaxHandshakeOptions) return false;
  std::size_t total_bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    HandshakeOption option;
    option.type = reader->u16();
    const std::size_t length = reader->u16();
    total_bytes += length;
    if (total_bytes > kMaxHandshakeOptionBytes) return false;
    const auto value = reader->bytes(length);
    option.value.assign(value.begin(), value.end());
    if (reader->overrun() || (!options->empty() && option.type <= options->back().type)) return false;
    options->push_back(std::move(option));
  }
  return true;
}

Status check_header(std::span<const std::byte> bytes, MessageType expected) {
  const auto header = decode_header(bytes);
  if (!header.is_ok()) return header.status();
  if (header->type != expected) return malformed("a message of another type was expected");
  if (header->version != kHandshakeVersion) return malformed("version " + std::to_string(header->version));
  if (header->length != bytes.size()) return malformed("its length does not fit");
  return Status::ok();
}

// What HELLO and WELCOME end with: nothing but the MAC, and that zero unless the message is sealed.
Status check_end(ByteReader* reader, bool sealed) {
  if (reader->overrun() || reader->left() != kMacBytes) return malformed("its parts do not fill its length");
  const auto mac = reader->bytes(kMacBytes);
  const bool zero = std::all_of(mac.begin(), mac.end(), [](std::byte b) { return b == std::byte{0}; });
  if (!sealed && !zero) return malformed("a MAC that the flags do not announce");
  return Status::ok();
}

}  // namespace

Result<MessageHeader> decode_header(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  if (reader.u32() != kHandshakeMagic) return malformed("it begins like no Weft handshake");
  MessageHeader header;
  header.version = reader.u8();
  const std::uint8_t type = reader.u8();
  header.length = reader.u16();
  if (reader.overrun()) return malformed("it is too short");
  if (type < 1 || type > 3) return malformed("unknown type " + std::to_string(type));
  header.type = static_cast<MessageType>(type);
  if (header.length < kHandshakeHeaderBytes || header.length > kMaxHandshakeMessageBytes) {
    return malformed("impossible length " + std::to_string(header.length));
  }
  // How long a message of another version is, this one cannot know.
  if (header.version != kHandshakeVersion) return header;
  if (header.length < shortest(header.type) || header.length > longest(header.type)) {
    return malformed("impossible length " + std::to_string(header.length));
  }
  return header;
}

std::vector<std::byte> encode(const Challenge& challenge) {
  MessageWriter writer(MessageType::kChallenge);
  writer.cursor().u32(challenge.secret_required ? kSecretRequiredFlag : 0);
  writer.cursor().bytes(challenge.nonce);
  return writer.finish();
}

Result<Challenge> decode_challenge(std::span<const std::byte> bytes) {
  if (const Status status = check_header(bytes, MessageType::kChallenge); !status) return status;
  ByteReader reader(bytes.subspan(kHandshakeHeaderBytes));
  const std::uint32_t flags = reader.u32();
  if ((flags & ~kSecretRequiredFlag) != 0) return malformed("unknown flags in CHALLENGE");
  Challenge challenge;
  challenge.secret_required = (flags & kSecretRequiredFlag) != 0;
  reader.copy_to(challenge.nonce);
  if (reader.overrun() || reader.left() != 0) return malformed("CHALLENGE has another length");
  return challenge;
}

namespace {

// The same judgement before sending and after receiving; the field that is wrong, or nothing.
std::string fault_of_lists(std::span<const Endpoint> endpoints, std::span<const HandshakeOption> options) {
  if (endpoints.size() > kMaxHandshakeEndpoints) return "too many endpoints";
  if (!std::all_of(endpoints.begin(), endpoints.end(), is_possible_endpoint)) return "an impossible endpoint";
  if (options.size() > kMaxHandshakeOptions) return "too many options";
  std::size_t total_bytes = 0;
  for (std::size_t i = 0; i < options.size(); ++i) {
    total_bytes += options[i].value.size();
    if (i > 0 && options[i].type <= options[i - 1].type) return "option types do not ascend";
  }
  return total_bytes > kMaxHandshakeOptionBytes ? "options are too long" : "";
}

std::string fault_of(const Hello& hello) {
  const auto purpose = static_cast<std::uint8_t>(hello.purpose);
  if (purpose < 1 || purpose > 3) return "unknown purpose";
  if (hello.total_paths < 1 || hello.total_paths > kMaxHandshakePaths) return "impossible number of paths";
  if (hello.path_index >= hello.total_paths) return "path index beyond the number of paths";
  if (hello.plane >= kMaxHandshakePaths) return "impossible plane";
  if (!is_possible(hello.parameters)) return "impossible chunk limit";
  return fault_of_lists(hello.endpoints, hello.options);
}

std::string fault_of(const Welcome& welcome) {
  if (static_cast<std::uint8_t>(welcome.code) > kLastRefusalCode) return "unknown code";
  if (welcome.path_index >= kMaxHandshakePaths) return "impossible path index";
  if (!is_possible(welcome.parameters)) return "impossible chunk limit";
  if (welcome.text.size() > kMaxRefusalTextBytes) return "text is too long";
  if (printable(welcome.text) != welcome.text) return "text is not printable";
  return fault_of_lists(welcome.endpoints, welcome.options);
}

}  // namespace

Result<std::vector<std::byte>> encode(const Hello& hello, bool sealed) {
  if (const std::string fault = fault_of(hello); !fault.empty()) return impossible(fault);
  MessageWriter message(MessageType::kHello);
  ByteWriter& writer = message.cursor();
  writer.u32(flags_of(hello.parameters, sealed));
  writer.u64(hello.listener_id);
  writer.bytes(hello.connection_id);
  writer.u8(static_cast<std::uint8_t>(hello.purpose));
  writer.u8(hello.path_index);
  writer.u8(hello.plane);
  writer.u8(hello.total_paths);
  writer.u32(hello.incarnation);
  writer.u32(hello.parameters.chunk_limit_bytes);
  writer.bytes(hello.nonce);
  write_endpoints(hello.endpoints, &writer);
  write_options(hello.options, &writer);
  writer.bytes(Mac{});
  return message.finish();
}

Result<Decoded<Hello>> decode_hello(std::span<const std::byte> bytes) {
  if (const Status status = check_header(bytes, MessageType::kHello); !status) return status;
  ByteReader reader(bytes.subspan(kHandshakeHeaderBytes));
  const std::uint32_t flags = reader.u32();
  if ((flags & ~(kSealedFlag | kPayloadChecksumFlag)) != 0) return malformed("unknown flags in HELLO");
  Decoded<Hello> result;
  result.sealed = (flags & kSealedFlag) != 0;
  Hello& hello = result.message;
  hello.parameters.payload_checksum = (flags & kPayloadChecksumFlag) != 0;
  hello.listener_id = reader.u64();
  reader.copy_to(hello.connection_id);
  hello.purpose = static_cast<PathPurpose>(reader.u8());
  hello.path_index = reader.u8();
  hello.plane = reader.u8();
  hello.total_paths = reader.u8();
  hello.incarnation = reader.u32();
  hello.parameters.chunk_limit_bytes = reader.u32();
  reader.copy_to(hello.nonce);
  if (!read_endpoints(&reader, false, &hello.endpoints)) return malformed("HELLO: endpoints");
  if (!read_options(&reader, &hello.options)) return malformed("HELLO: options");
  if (const Status status = check_end(&reader, result.sealed); !status) return status;
  if (const std::string fault = fault_of(hello); !fault.empty()) return malformed("HELLO: " + fault);
  return result;
}

Result<std::vector<std::byte>> encode(const Welcome& welcome, bool sealed) {
  if (const std::string fault = fault_of(welcome); !fault.empty()) return impossible(fault);
  MessageWriter message(MessageType::kWelcome);
  ByteWriter& writer = message.cursor();
  writer.u32(flags_of(welcome.parameters, sealed));
  writer.u8(static_cast<std::uint8_t>(welcome.code));
  writer.u8(welcome.path_index);
  writer.u16(0);
  writer.u32(welcome.incarnation);
  writer.u32(welcome.parameters.chunk_limit_bytes);
  writer.u8(static_cast<std::uint8_t>(welcome.text.size()));
  writer.bytes(std::as_bytes(std::span(welcome.text)));
  write_endpoints(welcome.endpoints, &writer);
  write_options(welcome.options, &writer);
  writer.bytes(Mac{});
  return message.finish();
}

Result<Decoded<Welcome>> decode_welcome(std::span<const std::byte> bytes) {
  if (const Status status = check_header(bytes, MessageType::kWelcome); !status) return status;
  ByteReader reader(bytes.subspan(kHandshakeHeaderBytes));
  const std::uint32_t flags = reader.u32();
  if ((flags & ~(kSealedFlag | kPayloadChecksumFlag)) != 0) return malformed("unknown flags in WELCOME");
  Decoded<Welcome> result;
  result.sealed = (flags & kSealedFlag) != 0;
  Welcome& welcome = result.message;
  welcome.parameters.payload_checksum = (flags & kPayloadChecksumFlag) != 0;
  welcome.code = static_cast<RefusalCode>(reader.u8());
  welcome.path_index = reader.u8();
  const std::uint16_t reserved = reader.u16();
  welcome.incarnation = reader.u32();
  welcome.parameters.chunk_limit_bytes = reader.u32();
  const auto text = reader.bytes(reader.u8());
  for (const std::byte byte : text) welcome.text += std::to_integer<char>(byte);
  if (!read_endpoints(&reader, true, &welcome.endpoints)) return malformed("WELCOME: endpoints");
  if (!read_options(&reader, &welcome.options)) return malformed("WELCOME: options");
  if (const Status status = check_end(&reader, result.sealed); !status) return status;
  if (reserved != 0) return malformed("WELCOME: reserved bytes");
  if (const std::string fault = fault_of(welcome); !fault.empty()) return malformed("WELCOME: " + fault);
  return result;
}

std::string printable(std::string_view text) {
  std::string result(text);
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return result;
}

}  // namespace weft::tcp

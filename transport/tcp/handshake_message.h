// The three messages that open a path, as structs and as bytes.
//
//   server → client   CHALLENGE  { flags, server nonce }
//   client → server   HELLO      { who wants which path of which connection, its interfaces, MAC }
//   server → client   WELCOME    { accepted or why not, the server's interfaces, MAC }
//
// Every message begins with 8 bytes that never change between versions; numbers are little-endian:
//
//   0 magic "WFTH"   4 version   5 type   6 length of the whole message (u16)
//
//   CHALLENGE  8 flags (u32)  12 nonce[32]
//   HELLO      8 flags (u32)  12 listener id (u64)  20 connection id[16]  36 purpose  37 path  38 plane  39
//   paths
//              40 incarnation (u32)  44 chunk limit (u32)  48 client nonce[32]  80 endpoints  .. options  ..
//              MAC[32]
//   WELCOME    8 flags (u32)  12 code  13 path  14 zero (u16)  16 incarnation (u32)  20 chunk limit (u32)
//              24 text length (u8), text  .. endpoints  .. options  .. MAC[32]
//
//   endpoints  count (u8), each as in address_codec.h
//   options    count (u8), each type (u16), length (u16), bytes; types strictly ascending. A receiver passes
//   over types
//              that it does not know, unless bit 15 is set: then it must refuse.
//
// Decoding takes bytes from anybody: it either gives a struct within all limits or a Status, and every
// message has exactly one encoding. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/tcp/ip_address.h"
#include "weft/status.h"

namespace weft::tcp {

inline constexpr std::uint8_t kHandshakeVersion = 1;
inline constexpr std::size_t kHandshakeHeaderBytes = 8;
inline constexpr std::size_t kChallengeBytes = 44;
inline constexpr std::size_t kMaxHandshakeMessageBytes = 1536;
inline constexpr std::size_t kMaxHandshakeBytes = 4096;  // all three together
static_assert(kChallengeBytes + 2 * kMaxHandshakeMessageBytes <= kMaxHandshakeBytes);

inline constexpr std::size_t kMaxHandshakeEndpoints = 32;
inline constexpr std::size_t kMaxHandshakeOptions = 16;
inline constexpr std::size_t kMaxHandshakeOptionBytes = 256;  // the values of all options together
inline constexpr std::size_t kMaxRefusalTextBytes = 200;
inline constexpr std::uint8_t kMaxHandshakePaths = 64;
inline constexpr std::uint32_t kMinChunkLimitBytes = 16 * 1024;
inline constexpr std::uint32_t kMaxChunkLimitBytes = 16 * 1024 * 1024;
inline constexpr std::uint16_t kCriticalOption = 0x8000;

using Nonce = std::array<std::byte, 32>;
using Mac = std::array<std::byte, 32>;
using ConnectionId = std::array<std::byte, 16>;

enum class MessageType : std::uint8_t { kChallenge = 1, kHello = 2, kWelcome = 3 };

struct Challenge {
  Nonce nonce{};
  bool secret_required = false;

  bool operator==(const Challenge&) const = default;
};

enum class PathPurpose : std::uint8_t {
  kFirstPath = 1,
  kAdditionalPath = 2,  // of a connection that is there; a path that comes back too
  kAskEndpoints = 3,    // no path: the listener's endpoints do not all fit an address; WELCOME lists them
};

// In HELLO what the connector asks for, in WELCOME what holds for the connection: a chunk limit no larger
// than asked for.
struct LinkParameters {
  std::uint32_t chunk_limit_bytes = 512 * 1024;
  bool payload_checksum = false;

  bool operator==(const LinkParameters&) const = default;
};

// Room for what later versions agree on without a new message format.
struct HandshakeOption {
  std::uint16_t type = 0;
  std::vector<std::byte> value;

  bool operator==(const HandshakeOption&) const = default;
};

struct Hello {
  std::uint64_t listener_id = 0;
  ConnectionId connection_id{};  // random, chosen by the connector, the same on all paths of a connection
  PathPurpose purpose = PathPurpose::kFirstPath;
  std::uint8_t path_index = 0;
  std::uint8_t plane = 0;
  std::uint8_t total_paths = 1;
  std::uint32_t incarnation = 0;
  LinkParameters parameters;
  Nonce nonce{};
  std::vector<Endpoint> endpoints;  // the connector's interfaces, for pairing; ports mean nothing
  std::vector<HandshakeOption> options;

  bool operator==(const Hello&) const = default;
};

// Values are on the wire.
enum class RefusalCode : std::uint8_t {
  kNone = 0,               // accepted
  kMalformed = 1,          // HELLO could not be read
  kVersion = 2,            // another version of this protocol
  kSecretRequired = 3,     // the server has a secret, the client showed none
  kSecretUnexpected = 4,   // the client has a secret, the server none
  kSecretDiffers = 5,      // the MAC does not fit
  kUnknownListener = 6,    // closed, or an address from another run
  kUnknownConnection = 7,  // a further path to a connection that is not here (any more)
  kStalePath = 8,          // path index or incarnation is not what the server expects
  kLimit = 9,              // a limit is reached; the text names it
  kUnsupportedOption = 10,
  kParameters = 11,  // the parameters asked for cannot be met
  kDenied = 12,      // the path is denied by the administrator
};
inline constexpr std::uint8_t kLastRefusalCode = 12;

struct Welcome {
  RefusalCode code = RefusalCode::kNone;
  std::string text;  // why it was refused: printable ASCII, at most kMaxRefusalTextBytes
  std::uint8_t path_index = 0;
  std::uint32_t incarnation = 0;
  LinkParameters parameters;
  std::vector<Endpoint> endpoints;  // all to connect to, for kAskEndpoints
  std::vector<HandshakeOption> options;

  bool operator==(const Welcome&) const = default;
};

// A message's bytes with room for the MAC at the end, zero until it is put in. HELLO and WELCOME say in their
// flags whether they carry one (`sealed`).
std::vector<std::byte> encode(const Challenge& challenge);
Result<std::vector<std::byte>> encode(const Hello& hello, bool sealed);
Result<std::vector<std::byte>> encode(const Welcome& welcome, bool sealed);

template <typename Message>
struct Decoded {
  Message message;
  bool sealed = false;
};

// The whole message with its header. kProtocolError says which field is wrong.
Result<Challenge> decode_challenge(std::span<const std::byte> bytes);
Result<Decoded<Hello>> decode_hello(std::span<const std::byte> bytes);
Result<Decoded<Welcome>> decode_welcome(std::span<const std::byte> bytes);

struct MessageHeader {
  std::uint8_t version = 0;
  MessageType type = MessageType::kChallenge;
  std::size_t length = 0;
};

// The first kHandshakeHeaderBytes of a message, checked for magic, a known type and a length that such a
// message can have. Another version is not an error here, so that it can be answered.
Result<MessageHeader> decode_header(std::span<const std::byte> bytes);

// Control characters and everything beyond ASCII replaced: what a peer says must not reach a terminal raw.
std::string printable(std::string_view text);

}  // namespace weft::tcp

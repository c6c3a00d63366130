// Bootstrap over TCP: a star around rank 0.
#include <poll.h>
#include <sodium.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "transport/bootstrap/gathering.h"
#include "transport/bootstrap/rank_list.h"
#include "weft/bootstrap.h"

namespace weft {
namespace {

using bootstrap::Deadline;
using bootstrap::FrameHeader;
using bootstrap::Member;
using bootstrap::Role;
using Blob = std::vector<std::byte>;

// What the members of a call sent, one after the other, each with its length in front.
Blob join_blobs(const std::vector<Blob>& blobs) {
  Blob joined;
  for (const Blob& blob : blobs) {
    for (int shift = 0; shift < 32; shift += 8)
      joined.push_back(static_cast<std::byte>(blob.size() >> shift & 0xff));
    joined.insert(joined.end(), blob.begin(), blob.end());
  }
  return joined;
}

Result<std::vector<Blob>> split_blobs(std::span<const std::byte> joined, int size) {
  std::vector<Blob> blobs;
  for (int rank = 0; rank < size; ++rank) {
    std::size_t length = 0;
    if (joined.size() < 4) break;
    for (std::size_t i = 0; i < 4; ++i) length |= std::to_integer<std::size_t>(joined[i]) << (8 * i);
    joined = joined.subspan(4);
    if (length > joined.size()) break;
    blobs.emplace_back(joined.begin(), joined.begin() + static_cast<std::ptrdiff_t>(length));
    joined = joined.subspan(length);
  }
  if (blobs.size() != static_cast<std::size_t>(size) || !joined.empty()) {
    return Status(StatusCode::kProtocolError, "rank 0 sent blobs that cannot be taken apart");
  }
  return blobs;
}

Status send_frame(Member& to, Role sender, FrameHeader header, std::span<const std::byte> payload,
                  Deadline deadline) {
  header.payload_bytes = payload.size();
  header.mac = bootstrap::mac_of(sender, to.key, header, payload);
  if (Status status = to.socket.send(header.encode(), deadline); !status) return status;
  return to.socket.send(payload, deadline);
}

// A frame that arrives in pieces.
class FrameReader {
 public:
  FrameReader(Role sender, std::size_t max_payload_bytes)
      : sender_(sender), max_payload_bytes_(max_payload_bytes) {}

  bool is_complete() const { return is_complete_; }
  const FrameHeader& header() const { return *header_; }
  Blob take_payload() { return std::move(payload_); }

  // Takes what has arrived.
  Status read(Member& from) {
    while (!is_complete_) {
      const std::span<std::byte> target = header_ ? std::span(payload_) : std::span(header_bytes_);
      if (received_ < target.size()) {
        auto got = from.socket.receive_available(target.subspan(received_));
        if (!got) return got.status();
        if (*got == 0) return Status::ok();
        received_ += *got;
        continue;
      }
      if (!header_) {
        if (Status status = take_header(); !status) return status;
        continue;
      }
      if (!bootstrap::equal(header_->mac, bootstrap::mac_of(sender_, from.key, *header_, payload_))) {
        return {StatusCode::kProtocolError, "a message whose MAC is wrong"};
      }
      is_complete_ = true;
    }
    return Status::ok();
  }

 private:
  Status take_header() {
    header_ = FrameHeader::decode(header_bytes_);
    if (!header_ || header_->payload_bytes > max_payload_bytes_) {
      return {StatusCode::kProtocolError, "a message that is malformed or too long"};
    }
    payload_.resize(header_->payload_bytes);
    received_ = 0;
    return Status::ok();
  }

  Role sender_;
  std::size_t max_payload_bytes_;
  std::array<std::byte, FrameHeader::kBytes> header_bytes_{};
  std::optional<FrameHeader> header_;
  Blob payload_;
  std::size_t received_ = 0;  // of the header, then of the payload
  bool is_complete_ = false;
};

class TcpBootstrap final : public Bootstrap {
 public:
  explicit TcpBootstrap(BootstrapOptions options) : options_(std::move(options)) {}

  Status join() {
    const Deadline deadline = std::chrono::steady_clock::now() + options_.timeout;
    if (size() == 1) return Status::ok();
    if (rank() == 0) {
      auto members = bootstrap::gather_ranks(options_, deadline);
      if (!members) return members.status();
      members_ = std::move(*members);
      return Status::ok();
    }
    auto member = bootstrap::join_rank_zero(options_, deadline);
    if (!member) return member.status();
    members_.push_back(std::move(*member));
    return Status::ok();
  }

  int rank() const override { return options_.place.rank; }
  int size() const override { return options_.place.size; }

  Result<std::vector<Blob>> all_gather(std::span<const std::byte> blob) override {
    if (!failure_) return failure_;
    if (blob.size() > kMaxBlobBytes) {
      return Status(StatusCode::kInvalidArgument,
                    "a blob of " + std::to_string(blob.size()) + " bytes is larger than kMaxBlobBytes");
    }
    ++call_;
    if (size() == 1) return std::vector<Blob>{Blob(blob.begin(), blob.end())};
    const Deadline deadline = std::chrono::steady_clock::now() + options_.timeout;
    auto blobs = rank() == 0 ? serve(blob, deadline) : ask(blob, deadline);
    if (!blobs) failure_ = blobs.status();
    return blobs;
  }

  Status barrier() override { return all_gather({}).status(); }

 private:
  // Rank 0: collects from all at once, then answers all.
  Result<std::vector<Blob>> serve(std::span<const std::byte> own, Deadline deadline) {
    std::vector<Blob> blobs(members_.size());
    blobs[0].assign(own.begin(), own.end());
    Status status = collect(blobs, deadline);
    const Blob joined = join_blobs(blobs);
    for (std::size_t peer = 1; status && peer < members_.size(); ++peer) {
      status = named(static_cast<int>(peer),
                     send_frame(members_[peer], Role::kRankZero, {.call = call_}, joined, deadline));
    }
    if (status) return blobs;
    // The others would only see a closed connection: tell them why.
    const auto text = std::as_bytes(std::span(status.message()));
    for (std::size_t peer = 1; peer < members_.size(); ++peer) {
      const Deadline soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
      (void)send_frame(members_[peer], Role::kRankZero, {.kind = FrameHeader::Kind::kError, .call = call_},
                       text, soon)
          .is_ok();
    }
    return status;
  }

  Status collect(std::vector<Blob>& blobs, Deadline deadline) {
    std::vector<FrameReader> readers(members_.size(), FrameReader(Role::kRank, kMaxBlobBytes));
    for (;;) {
      std::vector<pollfd> polled;
      std::vector<int> missing;
      for (std::size_t peer = 1; peer < members_.size(); ++peer) {
        if (readers[peer].is_complete()) continue;
        if (Status status = readers[peer].read(members_[peer]); !status)
          return named(static_cast<int>(peer), status);
        if (readers[peer].is_complete()) {
          if (readers[peer].header().call != call_) {
            return named(static_cast<int>(peer),
                         {StatusCode::kProtocolError, "is at another call than rank 0"});
          }
          blobs[peer] = readers[peer].take_payload();
          continue;
        }
        missing.push_back(static_cast<int>(peer));
        polled.push_back({.fd = members_[peer].socket.descriptor(), .events = POLLIN, .revents = 0});
      }
      if (missing.empty()) return Status::ok();
      if (milliseconds_until(deadline) == 0) {
        return {StatusCode::kUnreachable, "call " + std::to_string(call_) + ": rank 0 waited " +
                                              std::to_string(options_.timeout.count()) + " ms; missing of " +
                                              std::to_string(size()) +
                                              " ranks: " + bootstrap::rank_list(missing)};
      }
      ::poll(polled.data(), polled.size(), milliseconds_until(deadline));
    }
  }

  Result<std::vector<Blob>> ask(std::span<const std::byte> own, Deadline deadline) {
    Member& zero = members_.front();
    Status status = send_frame(zero, Role::kRank, {.call = call_}, own, deadline);
    // Rank 0 may have closed because another rank failed, and its last word may still be on the way.
    const std::size_t most = (kMaxBlobBytes + 4) * static_cast<std::size_t>(size());
    FrameReader reader(Role::kRankZero, most);
    while (!reader.is_complete()) {
      if (Status arrived = reader.read(zero); !arrived) return named(0, arrived);
      if (reader.is_complete()) break;
      if (milliseconds_until(deadline) == 0) {
        return Status(StatusCode::kUnreachable, "rank " + std::to_string(rank()) + ", call " +
                                                    std::to_string(call_) + ": no answer from rank 0 (" +
                                                    zero.socket.peer_name() + ") within " +
                                                    std::to_string(options_.timeout.count()) + " ms");
      }
      pollfd entry{.fd = zero.socket.descriptor(), .events = POLLIN, .revents = 0};
      ::poll(&entry, 1, milliseconds_until(deadline));
    }
    const Blob payload = reader.take_payload();
    if (reader.header().kind == FrameHeader::Kind::kError) {
      return Status(StatusCode::kPeerLost,
                    std::string(reinterpret_cast<const char*>(payload.data()), payload.size()));
    }
    if (!status) return named(0, status);
    if (reader.header().call != call_) return named(0, {StatusCode::kProtocolError, "is at another call"});
    return split_blobs(payload, size());
  }

  // An error of the connection to a rank.
  Status named(int peer, const Status& status) const {
    if (status) return status;
    const Member& member = members_[rank() == 0 ? static_cast<std::size_t>(peer) : 0];
    return {status.code(), "rank " + std::to_string(rank()) + ", call " + std::to_string(call_) + ": rank " +
                               std::to_string(peer) + " (" + member.socket.peer_name() +
                               "): " + status.message()};
  }

  static int milliseconds_until(Deadline deadline) { return bootstrap::milliseconds_until(deadline); }

  BootstrapOptions options_;
  std::vector<Member> members_;  // at rank 0 by rank, elsewhere only rank 0
  std::uint64_t call_ = 0;
  Status failure_;
};

Status check(const BootstrapOptions& options) {
  const JobPlace& place = options.place;
  if (place.size < 1 || place.size > Bootstrap::kMaxRanks || place.rank < 0 || place.rank >= place.size) {
    return {StatusCode::kInvalidArgument, "rank " + std::to_string(place.rank) + " of " +
                                              std::to_string(place.size) + " is no place in a job"};
  }
  if (place.size > 1 && options.listen_socket < 0 && (place.host.empty() || place.port == 0)) {
    return {StatusCode::kInvalidArgument, "no host and port of rank 0: set MASTER_ADDR and MASTER_PORT"};
  }
  if (sodium_init() < 0) return {StatusCode::kInternal, "libsodium cannot be initialised"};
  return Status::ok();
}

}  // namespace

Result<std::unique_ptr<Bootstrap>> Bootstrap::create(BootstrapOptions options) {
  if (Status status = check(options); !status) return status;
  auto made = std::make_unique<TcpBootstrap>(std::move(options));
  if (Status status = made->join(); !status) return status;
  return std::unique_ptr<Bootstrap>(std::move(made));
}

}  // namespace weft

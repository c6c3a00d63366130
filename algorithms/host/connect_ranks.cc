#include "algorithms/host/connect_ranks.h"

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

namespace weft::algorithms::host {
namespace {

using Connections = std::vector<std::unique_ptr<Connection>>;

constexpr std::uint32_t kHelloTag = 0xffffffffu;

// The first message on a connection: which rank has connected.
struct Hello {
  std::uint32_t rank;
};

// A connection that was accepted and has not said yet whose it is, or one whose hello is still on its way
// out.
struct Greeting {
  std::unique_ptr<Connection> connection;
  RequestId request = RequestId::kNone;
  Hello hello{};
};

class Meeting {
 public:
  Meeting(Context& context, int rank, int size) : context_(context), rank_(rank), connections_(slot(size)) {}

  // Outgoing connections of this rank: one to every higher rank.
  Status start(Listener& listener, const std::vector<Address>& addresses) {
    listener_ = &listener;
    for (int peer = rank_ + 1; peer < size(); ++peer) {
      auto connector = context_.connect(addresses[slot(peer)]);
      if (!connector) return at_peer(peer, connector.status());
      connectors_.emplace_back(peer, std::move(*connector));
    }
    return Status::ok();
  }

  // Moves everything on; true when all pairs are connected.
  Result<bool> poll() {
    if (Status status = poll_connectors(); !status) return status;
    if (Status status = poll_listener(); !status) return status;
    if (Status status = poll_outgoing(); !status) return status;
    if (Status status = poll_incoming(); !status) return status;
    return missing_ranks().empty() && outgoing_.empty();
  }

  std::string missing_ranks() const {
    std::string text;
    for (int peer = 0; peer < size(); ++peer) {
      if (peer == rank_ || connections_[slot(peer)]) continue;
      text += (text.empty() ? "" : ", ") + std::to_string(peer);
    }
    return text;
  }

  Connections take() { return std::move(connections_); }

 private:
  static std::size_t slot(int rank) { return static_cast<std::size_t>(rank); }
  int size() const { return static_cast<int>(connections_.size()); }

  Status at_peer(int peer, const Status& status) const {
    return {status.code(), "rank " + std::to_string(rank_) + ", connecting to rank " + std::to_string(peer) +
                               ": " + status.message()};
  }

  Status poll_connectors() {
    for (std::size_t i = 0; i < connectors_.size();) {
      auto& [peer, connector] = connectors_[i];
      auto connection = connector->poll();
      if (!connection) return at_peer(peer, connection.status());
      if (!*connection) {
        ++i;
        continue;
      }
      auto greeting = std::make_unique<Greeting>();
      greeting->hello.rank = static_cast<std::uint32_t>(rank_);
      greeting->request = (*connection)->post_send(&greeting->hello, sizeof(Hello), kHelloTag);
      connections_[slot(peer)] = std::move(*connection);
      outgoing_.emplace_back(peer, std::move(greeting));
      connectors_.erase(connectors_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return Status::ok();
  }

  Status poll_listener() {
    auto connection = listener_->accept();
    if (!connection) {
      return {connection.status().code(),
              "rank " + std::to_string(rank_) + ", accepting: " + connection.status().message()};
    }
    if (!*connection) return Status::ok();
    auto greeting = std::make_unique<Greeting>();
    greeting->connection = std::move(*connection);
    greeting->request = greeting->connection->post_receive(&greeting->hello, sizeof(Hello), kHelloTag);
    incoming_.push_back(std::move(greeting));
    return Status::ok();
  }

  Status poll_outgoing() {
    for (std::size_t i = 0; i < outgoing_.size();) {
      auto& [peer, greeting] = outgoing_[i];
      Connection& connection = *connections_[slot(peer)];
      const Completion completion = connection.test(greeting->request);
      if (!completion.done) {
        ++i;
        continue;
      }
      if (completion.status != StatusCode::kOk) return at_peer(peer, connection.error());
      outgoing_.erase(outgoing_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return Status::ok();
  }

  Status poll_incoming() {
    for (std::size_t i = 0; i < incoming_.size();) {
      Greeting& greeting = *incoming_[i];
      const Completion completion = greeting.connection->test(greeting.request);
      if (!completion.done) {
        ++i;
        continue;
      }
      if (completion.status != StatusCode::kOk) {
        return {completion.status,
                "rank " + std::to_string(rank_) +
                    ", waiting for a lower rank to say who it is: " + greeting.connection->error().message()};
      }
      const auto peer = greeting.hello.rank;
      if (completion.bytes != sizeof(Hello) || peer >= static_cast<std::uint32_t>(rank_) ||
          connections_[peer]) {
        return {StatusCode::kProtocolError, "rank " + std::to_string(rank_) +
                                                ": a process connected that says it is rank " +
                                                std::to_string(peer) + ", which cannot be"};
      }
      connections_[peer] = std::move(greeting.connection);
      incoming_.erase(incoming_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return Status::ok();
  }

  Context& context_;
  int rank_;
  Listener* listener_ = nullptr;
  std::vector<std::pair<int, std::unique_ptr<Connector>>> connectors_;
  // Declared before the connections, so that the buffers of pending requests outlive them.
  std::vector<std::pair<int, std::unique_ptr<Greeting>>> outgoing_;
  std::vector<std::unique_ptr<Greeting>> incoming_;
  Connections connections_;
};

}  // namespace

Result<Connections> connect_ranks(Context& context, Bootstrap& bootstrap) {
  auto listener = context.listen();
  if (!listener) return listener.status();
  auto blobs = bootstrap.all_gather((*listener)->address().bytes);
  if (!blobs) return blobs.status();
  std::vector<Address> addresses(blobs->size());
  for (std::size_t rank = 0; rank < blobs->size(); ++rank) {
    if ((*blobs)[rank].size() != Address::kBytes) {
      return Status(StatusCode::kProtocolError,
                    "rank " + std::to_string(rank) +
                        " gave an address of another size; is it another version of Weft?");
    }
    std::memcpy(addresses[rank].bytes.data(), (*blobs)[rank].data(), Address::kBytes);
  }

  Meeting meeting(context, bootstrap.rank(), bootstrap.size());
  if (Status status = meeting.start(**listener, addresses); !status) return status;
  const auto deadline = std::chrono::steady_clock::now() + context.config().connect_timeout;
  for (;;) {
    auto all_connected = meeting.poll();
    if (!all_connected) return all_connected.status();
    if (*all_connected) break;
    if (std::chrono::steady_clock::now() > deadline) {
      return Status(StatusCode::kUnreachable, "rank " + std::to_string(bootstrap.rank()) +
                                                  ": no connection within WEFT_CONNECT_TIMEOUT_MS to rank " +
                                                  meeting.missing_ranks());
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  // Nobody may drop its listener, or start to send, while others are still connecting.
  if (Status status = bootstrap.barrier(); !status) return status;
  return meeting.take();
}

}  // namespace weft::algorithms::host

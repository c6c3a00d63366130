#include "tests/plugins/fake_fabric.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

namespace weft {
namespace {

struct Message {
  std::vector<std::byte> bytes;
  std::uint32_t tag = 0;
  bool truncated = false;
  bool taken = false;
};

struct Wire {
  std::deque<std::shared_ptr<Message>> messages;
};

struct Pending {
  std::shared_ptr<Message> sent;  // null for a receive
  void* data = nullptr;
  std::size_t capacity = 0;
  std::uint32_t tag = 0;
  bool done = false;
  std::size_t bytes = 0;
  StatusCode status = StatusCode::kOk;
};

class FakeConnection final : public Connection {
 public:
  FakeConnection(std::shared_ptr<Wire> out, std::shared_ptr<Wire> in)
      : out_(std::move(out)), in_(std::move(in)) {
    ++fake::fabric().connections;
  }
  ~FakeConnection() override { --fake::fabric().connections; }

  RequestId post_send(const void* data, std::size_t bytes, std::uint32_t tag, MemoryKind memory) override {
    if (memory != MemoryKind::kHost && !carries(memory)) return RequestId::kRefused;
    fake::fabric().posted.push_back(memory);
    if (count(true) >= fake::fabric().free_requests) return RequestId::kNone;
    auto message = std::make_shared<Message>();
    message->bytes.resize(bytes);
    if (bytes > 0) std::memcpy(message->bytes.data(), data, bytes);
    message->tag = tag;
    out_->messages.push_back(message);
    return add({.sent = message, .tag = tag, .bytes = bytes});
  }
  RequestId post_receive(void* data, std::size_t capacity, std::uint32_t tag, MemoryKind memory) override {
    if (memory != MemoryKind::kHost && !carries(memory)) return RequestId::kRefused;
    fake::fabric().posted.push_back(memory);
    if (count(false) >= fake::fabric().free_requests) return RequestId::kNone;
    return add({.sent = nullptr, .data = data, .capacity = capacity, .tag = tag});
  }
  bool has_receive_room(std::size_t receives) const override {
    return count(false) + static_cast<int>(receives) <= fake::fabric().free_requests;
  }
  Status carries(MemoryKind memory) const override {
    return memory == MemoryKind::kHost ? Status::ok() : fake::fabric().carries_device_memory;
  }
  RequestId post_flush(const void*) override {
    ++fake::fabric().flushes;
    return kFlush;
  }
  Completion test(RequestId request) override {
    progress();
    if (request == kFlush) return {fake::fabric().deliver, 0, fake::fabric().failure.code()};
    const auto found = pending_.find(request);
    if (found == pending_.end()) return {true, 0, StatusCode::kInvalidArgument};
    Pending& pending = found->second;
    if (!pending.done && !fake::fabric().failure) {
      pending.done = true;
      pending.status = fake::fabric().failure.code();
    }
    if (!pending.done) return {};
    const Completion result{true, pending.bytes, pending.status};
    pending_.erase(found);
    return result;
  }
  void progress() override {
    if (!fake::fabric().deliver) return;
    for (auto& [id, pending] : pending_) {
      if (pending.done) continue;
      if (pending.sent) {
        pending.done = pending.sent->taken;
        if (pending.sent->truncated) pending.status = StatusCode::kTruncated;
        continue;
      }
      const auto found =
          std::find_if(in_->messages.begin(), in_->messages.end(),
                       [tag = pending.tag](const auto& message) { return message->tag == tag; });
      if (found == in_->messages.end()) continue;
      receive(**found, pending);
      in_->messages.erase(found);
    }
  }
  Status error() const override { return fake::fabric().failure; }
  ConnectionStatistics statistics() const override { return {.peer = "fake peer", .paths = {}}; }
  Status cut_path(int) override { return {}; }

 private:
  static constexpr RequestId kFlush{1u << 31};

  int count(bool sends) const {
    return static_cast<int>(std::count_if(pending_.begin(), pending_.end(), [&](const auto& entry) {
      return (entry.second.sent != nullptr) == sends;
    }));
  }
  RequestId add(Pending pending) {
    const auto id = static_cast<RequestId>(next_++);
    pending_.emplace(id, std::move(pending));
    return id;
  }
  static void receive(Message& message, Pending& pending) {
    message.taken = true;
    pending.done = true;
    pending.bytes = message.bytes.size();
    if (message.bytes.size() > pending.capacity) {
      message.truncated = true;
      pending.status = StatusCode::kTruncated;
    } else if (!message.bytes.empty()) {
      std::memcpy(pending.data, message.bytes.data(), message.bytes.size());
    }
  }

  std::shared_ptr<Wire> out_, in_;
  std::map<RequestId, Pending> pending_;  // ordered: the n-th send meets the n-th receive
  std::uint32_t next_ = 2;
};

struct Meeting {
  std::shared_ptr<Wire> there = std::make_shared<Wire>(), back = std::make_shared<Wire>();
};

// Connects that reached a listener, by the number in its address.
std::map<std::uint64_t, std::deque<Meeting>>& waiting() {
  static auto& table = *new std::map<std::uint64_t, std::deque<Meeting>>();
  return table;
}

class FakeListener final : public Listener {
 public:
  explicit FakeListener(std::uint64_t number) : number_(number) {
    address_.bytes.fill(std::byte{0xab});
    std::memcpy(address_.bytes.data(), &number, sizeof number);
    waiting()[number];
    ++fake::fabric().listeners;
  }
  ~FakeListener() override {
    waiting().erase(number_);
    --fake::fabric().listeners;
  }
  const Address& address() const override { return address_; }
  Result<std::unique_ptr<Connection>> accept() override {
    auto& queue = waiting()[number_];
    if (queue.empty() || polls_++ < fake::fabric().polls_until_connected)
      return std::unique_ptr<Connection>();
    Meeting meeting = queue.front();
    queue.pop_front();
    return std::unique_ptr<Connection>(new FakeConnection(meeting.back, meeting.there));
  }

 private:
  std::uint64_t number_;
  Address address_;
  int polls_ = 0;
};

class FakeConnector final : public Connector {
 public:
  explicit FakeConnector(std::uint64_t number) : number_(number) { ++fake::fabric().connectors; }
  ~FakeConnector() override { --fake::fabric().connectors; }
  Result<std::unique_ptr<Connection>> poll() override {
    if (!fake::fabric().connecting) return fake::fabric().connecting;
    if (polls_++ < fake::fabric().polls_until_connected) return std::unique_ptr<Connection>();
    const auto found = waiting().find(number_);
    if (found == waiting().end()) return Status(StatusCode::kUnreachable, "nobody listens there");
    const Meeting& meeting = found->second.emplace_back();
    return std::unique_ptr<Connection>(new FakeConnection(meeting.there, meeting.back));
  }

 private:
  std::uint64_t number_;
  int polls_ = 0;
};

class FakeContext final : public Context {
 public:
  explicit FakeContext(Config config) : config_(std::move(config)), devices_(fake::fabric().devices) {
    ++fake::fabric().contexts;
    ++fake::fabric().contexts_created;
  }
  ~FakeContext() override { --fake::fabric().contexts; }
  const Config& config() const override { return config_; }
  const std::vector<Device>& devices() const override { return devices_; }
  const std::string& transport() const override { return transport_; }
  Result<std::unique_ptr<Listener>> listen() override {
    return std::unique_ptr<Listener>(new FakeListener(next_++));
  }
  Result<std::unique_ptr<Connector>> connect(const Address& address) override {
    std::uint64_t number = 0;
    std::memcpy(&number, address.bytes.data(), sizeof number);
    return std::unique_ptr<Connector>(new FakeConnector(number));
  }
  std::unique_ptr<LastingMemory> promise_memory(const void*, std::size_t) override {
    return std::make_unique<LastingMemory>();
  }
  const DeviceMemorySupport& device_memory() const override { return fake::fabric().device_memory; }
  Result<std::unique_ptr<LastingMemory>> promise_device_memory(const void*, std::size_t, int dmabuf,
                                                               std::uint64_t) override {
    const DeviceMemorySupport& support = fake::fabric().device_memory;
    if (dmabuf < 0 ? !support.peer_memory : !support.dmabuf)
      return Status(StatusCode::kInvalidArgument, support.why_not);
    fake::fabric().dmabufs.push_back(dmabuf);
    return std::make_unique<LastingMemory>();
  }
  std::string statistics_json() const override { return "{}"; }

 private:
  Config config_;
  std::vector<Device> devices_;
  std::string transport_ = "a fake fabric";
  std::uint64_t next_ = 1;
};

}  // namespace

namespace fake {

Fabric& fabric() {
  static Fabric& the_fabric = *new Fabric();
  return the_fabric;
}

void reset() {
  Fabric fresh;
  fresh.contexts = fabric().contexts;
  fresh.contexts_created = fabric().contexts_created;
  fresh.connections = fabric().connections;
  fresh.listeners = fabric().listeners;
  fresh.connectors = fabric().connectors;
  fabric() = fresh;
}

}  // namespace fake

std::string_view to_string(StatusCode code) {
  return code == StatusCode::kPeerLost ? "peer lost" : "some status";
}

Result<Config> Config::from_environment() {
  if (!fake::fabric().configuration) return fake::fabric().configuration;
  return Config();
}

Result<std::unique_ptr<Context>> Context::create(const Config& config, LogSink log) {
  if (!fake::fabric().creation) return fake::fabric().creation;
  fake::fabric().log_level = config.log_level;
  fake::fabric().log = std::move(log);
  return std::unique_ptr<Context>(new FakeContext(config));
}

}  // namespace weft

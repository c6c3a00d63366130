#include "tests/engine/peer_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace weft::loopback {
namespace {

bool write_all(int fd, const Address& address) {
  return write(fd, address.bytes.data(), address.bytes.size()) == static_cast<ssize_t>(address.bytes.size());
}

bool read_all(int fd, Address& address) {
  return read(fd, address.bytes.data(), address.bytes.size()) == static_cast<ssize_t>(address.bytes.size());
}

[[noreturn]] void transfer_for_ever(Connection& connection, std::size_t bytes) {
  Bytes out(bytes), in(bytes);
  std::array<RequestId, 8> requests{};
  while (true) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i] == RequestId::kNone) {
        requests[i] =
            i % 2 ? connection.post_send(out.data(), bytes, 1) : connection.post_receive(in.data(), bytes, 1);
      } else if (connection.test(requests[i]).done) {
        requests[i] = RequestId::kNone;
      }
    }
  }
}

// No thread of a Context exists yet in here.
[[noreturn]] void be_the_peer(const PeerOptions& options, int in, int out, int lifeline) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // where the test itself is killed
  auto context = make_context(options.config);
  if (!context) _exit(1);
  std::unique_ptr<Connection> connection;
  if (options.listens) {
    auto listener = listen(*context);
    if (listener && write_all(out, listener->address())) connection = accept_one(*listener);
  } else {
    Address address;
    if (!read_all(in, address)) _exit(1);
    auto connector = context->connect(address);
    if (!connector) _exit(1);
    auto polled = poll_until_settled(**connector);
    if (polled) connection = std::move(*polled);
  }
  if (!connection) _exit(1);
  if (options.leaves_a_child && fork() == 0) {
    char nothing = 0;
    (void)!read(lifeline, &nothing, 1);
    _exit(0);
  }
  if (options.message_bytes != 0) transfer_for_ever(*connection, options.message_bytes);
  while (true) pause();
}

}  // namespace

PeerProcess::Pipe::Pipe() {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  read_end = ends[0];
  write_end = ends[1];
}

PeerProcess::Pipe::~Pipe() {
  close_reading();
  close_writing();
}

void PeerProcess::Pipe::close_reading() {
  if (read_end >= 0) close(read_end);
  read_end = -1;
}

void PeerProcess::Pipe::close_writing() {
  if (write_end >= 0) close(write_end);
  write_end = -1;
}

PeerProcess::PeerProcess(const PeerOptions& options) : options_(options) {
  pid_ = fork();
  if (pid_ < 0) std::abort();
  if (pid_ == 0) {
    lifeline_.close_writing();
    be_the_peer(options_, to_peer_.read_end, from_peer_.write_end, lifeline_.read_end);
  }
  to_peer_.close_reading();
  from_peer_.close_writing();
}

PeerProcess::~PeerProcess() {
  if (pid_ > 0) kill();
}

std::unique_ptr<Connection> PeerProcess::connect(Context& context) {
  if (!options_.listens) {
    auto listener = listen(context);
    if (!listener || !write_all(to_peer_.write_end, listener->address())) return nullptr;
    return accept_one(*listener);
  }
  Address address;
  if (!read_all(from_peer_.read_end, address)) {
    ADD_FAILURE() << "the peer says no address";
    return nullptr;
  }
  auto connector = context.connect(address);
  if (!connector) {
    ADD_FAILURE() << connector.status().message();
    return nullptr;
  }
  auto polled = poll_until_settled(**connector);
  if (!polled) {
    ADD_FAILURE() << polled.status().message();
    return nullptr;
  }
  return std::move(*polled);
}

void PeerProcess::signal(int number) const {
  EXPECT_EQ(::kill(pid_, number), 0);
}

bool PeerProcess::stop() const {
  int status = 0;
  return ::kill(pid_, SIGSTOP) == 0 && waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status);
}

bool PeerProcess::kill() {
  ::kill(pid_, SIGKILL);
  int status = 0;
  bool reaped = waitpid(pid_, &status, 0) == pid_;
  pid_ = -1;
  return reaped && WIFSIGNALED(status);
}

Transfers::Transfers(std::unique_ptr<Connection> connection, std::size_t message_bytes)
    : out_(message_bytes), in_(message_bytes), sends_(8), receives_(8), connection_(std::move(connection)) {}

void Transfers::keep_going() {
  for (RequestId& send : sends_)
    if (send == RequestId::kNone || connection_->test(send).done)
      send = connection_->post_send(out_.data(), out_.size(), 1);
  for (RequestId& receive : receives_)
    if (receive == RequestId::kNone || connection_->test(receive).done)
      receive = connection_->post_receive(in_.data(), in_.size(), 1);
}

void Transfers::receive(std::size_t bytes) {
  const std::uint64_t before = totals(*connection_).received_bytes;
  EXPECT_TRUE(repeat_until([&] {
    keep_going();
    return totals(*connection_).received_bytes > before + bytes || !connection_->error().is_ok();
  })) << "nothing comes";
}

}  // namespace weft::loopback

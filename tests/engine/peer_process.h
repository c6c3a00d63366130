// Another process at the other end of a connection, for tests in which it is killed or stopped.
#pragma once

#include <sys/types.h>

#include <memory>

#include "tests/engine/loopback.h"

namespace weft::loopback {

struct PeerOptions {
  bool listens = true;  // else it connects
  bool leaves_a_child =
      false;  // forks one that lives until the PeerProcess goes, whatever becomes of its parent
  std::size_t message_bytes = 16 << 20;  // of those that it sends and receives without end; 0: none
  Config config;
};

// Forks in the constructor; killed and reaped in the destructor at the latest. One thread.
class PeerProcess {
 public:
  explicit PeerProcess(const PeerOptions& options);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  // Null, and the test has failed, where there is none.
  std::unique_ptr<Connection> connect(Context& context);
  void signal(int number) const;
  bool stop() const;  // SIGSTOP, and it does nothing more when this returns
  // SIGKILL, and it is gone when this returns. False: it had ended by itself.
  bool kill();

 private:
  struct Pipe {
    Pipe();
    ~Pipe();
    void close_reading();
    void close_writing();
    int read_end, write_end;
  };

  PeerOptions options_;
  Pipe to_peer_, from_peer_;
  Pipe lifeline_;  // the peer's child ends when our end of it is closed
  pid_t pid_ = -1;
};

// What the test's own end does meanwhile: eight sends and eight receives are always pending. Owns the
// connection, which must go before the buffers.
class Transfers {
 public:
  Transfers(std::unique_ptr<Connection> connection, std::size_t message_bytes);
  void keep_going();
  // Goes on until the connection has failed or has received so much more.
  void receive(std::size_t bytes);
  Connection& connection() { return *connection_; }
  const std::vector<RequestId>& sends() const { return sends_; }
  const std::vector<RequestId>& receives() const { return receives_; }

 private:
  Bytes out_, in_;
  std::vector<RequestId> sends_, receives_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace weft::loopback

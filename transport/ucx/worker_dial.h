// One attempt to bring a path up from the connecting side: a worker is made, the TCP handshake over the
// plane's own interfaces takes its address to the peer and brings back that of the peer's, and they connect.
// The handshake proves the secret and that the plane carries packets both ways; its socket is closed
// afterwards.
//
// Threads: one at a time. step() does not wait.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "transport/tcp/dial.h"
#include "transport/ucx/worker_shelf.h"

namespace weft::ucx {

class WorkerDial {
 public:
  WorkerDial(std::shared_ptr<WorkerShelf> shelf, std::size_t device, const tcp::PathRoute& route,
             tcp::DialSettings settings, multipath::PathId path, multipath::Incarnation incarnation);

  tcp::DialState step(multipath::TimePoint now);

  // After kConnected.
  multipath::Incarnation incarnation() const { return incarnation_; }
  multipath::TimePoint dial_began() const { return dial_began_; }
  std::unique_ptr<PathWorker> take_worker() { return std::move(worker_); }
  const std::string& peer_device() const { return peer_device_; }
  const tcp::Welcome& welcome() const { return dial_->welcome(); }
  // After kFailed, as in tcp::Dial.
  const Status& error() const { return error_; }
  bool is_refused() const { return dial_ && dial_->is_refused(); }
  bool is_forgotten() const { return dial_ && dial_->is_forgotten(); }

 private:
  tcp::DialState fail(Status error);
  tcp::DialState begin(multipath::TimePoint now);
  tcp::DialState connect_worker();

  const tcp::PathRoute route_;
  tcp::DialSettings settings_;
  const multipath::PathId path_;
  const multipath::Incarnation incarnation_;
  std::unique_ptr<WorkerShelf::Order> order_;
  std::unique_ptr<PathWorker> worker_;
  std::optional<tcp::Dial> dial_;
  multipath::TimePoint dial_began_{};
  std::string peer_device_;
  Status error_;
};

}  // namespace weft::ucx

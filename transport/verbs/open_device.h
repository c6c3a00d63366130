// An RDMA device that is in use: its context, a protection domain, and what it reports about itself.
//
// Threads: open() anywhere; watch() from one thread at a time; the rest is constant. Rails and registrations
// hold it by shared_ptr, so it is closed behind the last of them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "transport/verbs/rail.h"
#include "transport/verbs/verbs_library.h"
#include "weft/status.h"

namespace weft::verbs {

class OpenDevice {
 public:
  // `owns_queues`: all queue pairs of its context are made by us. Those of a library on top of it (MRC) are
  // none of our business when the device reports something of them.
  static Result<std::shared_ptr<OpenDevice>> open(const VerbsLibrary& verbs, const std::string& name,
                                                  bool owns_queues = true);
  ~OpenDevice();
  OpenDevice(const OpenDevice&) = delete;
  OpenDevice& operator=(const OpenDevice&) = delete;

  const std::string& name() const { return name_; }
  const VerbsLibrary& verbs() const { return verbs_; }
  ibv_context* context() const { return context_; }
  ibv_pd* protection_domain() const { return protection_domain_; }
  std::shared_ptr<PortEvents> events(std::uint8_t port) { return events_[port % kMaxPorts]; }
  // How often the port's GID table or LID has changed. Every address of every interface has an entry, so most
  // changes concern nobody.
  std::uint32_t address_changes(std::uint8_t port) const { return address_changes_[port % kMaxPorts]; }
  // Reads what the device has reported; `heard` is called with the words for each event.
  template <typename Function>
  void watch(Function&& heard) {
    ibv_async_event event{};
    while (next_event(&event)) {
      heard(name_, verbs_.event_type_str(event.event_type));
      finish(event);
    }
  }

 private:
  static constexpr std::size_t kMaxPorts = 16;

  OpenDevice(const VerbsLibrary& verbs, std::string name, bool owns_queues)
      : verbs_(verbs), name_(std::move(name)), owns_queues_(owns_queues) {}
  bool next_event(ibv_async_event* event);
  void finish(ibv_async_event& event);

  const VerbsLibrary& verbs_;
  const std::string name_;
  const bool owns_queues_;
  ibv_context* context_ = nullptr;
  ibv_pd* protection_domain_ = nullptr;
  std::array<std::shared_ptr<PortEvents>, kMaxPorts> events_;
  std::array<std::atomic<std::uint32_t>, kMaxPorts> address_changes_{};
  const process::Birthplace birthplace_;
};

}  // namespace weft::verbs

#include "transport/verbs/open_device.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "transport/verbs/queue_pair.h"

namespace weft::verbs {

Result<std::shared_ptr<OpenDevice>> OpenDevice::open(const VerbsLibrary& verbs, const std::string& name,
                                                     bool owns_queues) {
  std::shared_ptr<OpenDevice> device(new OpenDevice(verbs, name, owns_queues));
  for (auto& events : device->events_) events = std::make_shared<PortEvents>();
  const auto failed = [&](const char* what) {
    return Status(StatusCode::kInternal,
                  fmt::format("device {}: {} failed: {}", name, what, std::strerror(errno)));
  };
  ibv_device** list = verbs.get_device_list(nullptr);
  if (list == nullptr) return failed("ibv_get_device_list");
  errno = ENODEV;
  for (ibv_device** each = list; *each != nullptr; ++each)
    if (verbs.get_device_name(*each) == name) device->context_ = verbs.open_device(*each);
  const int error = errno;
  verbs.free_device_list(list);
  errno = error;
  if (device->context_ == nullptr) return failed("ibv_open_device");
  device->protection_domain_ = verbs.alloc_pd(device->context_);
  if (device->protection_domain_ == nullptr) return failed("ibv_alloc_pd");
  const int flags = fcntl(device->context_->async_fd, F_GETFL);
  if (flags < 0 || fcntl(device->context_->async_fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return failed("making its event file non-blocking");
  return device;
}

OpenDevice::~OpenDevice() {
  if (!birthplace_.is_here()) return;
  if (protection_domain_ != nullptr) verbs_.dealloc_pd(protection_domain_);
  if (context_ != nullptr) verbs_.close_device(context_);
}

bool OpenDevice::next_event(ibv_async_event* event) {
  return verbs_.get_async_event(context_, event) == 0;
}

void OpenDevice::finish(ibv_async_event& event) {
  const std::size_t port = static_cast<std::size_t>(event.element.port_num) % kMaxPorts;
  switch (event.event_type) {
    case IBV_EVENT_PORT_ERR:
      ++events_[port]->went_down;
      break;
    case IBV_EVENT_GID_CHANGE:
    case IBV_EVENT_LID_CHANGE:
      ++address_changes_[port];
      break;
    case IBV_EVENT_DEVICE_FATAL:
      for (auto& events : events_) ++events->device_failed;
      break;
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_PATH_MIG_ERR:
      if (owns_queues_) QueuePair::note_failure(*event.element.qp);
      break;
    case IBV_EVENT_CQ_ERR:
      if (owns_queues_) Rail::note_failure(*event.element.cq);
      break;
    case IBV_EVENT_SRQ_ERR:
      if (owns_queues_) Rail::note_failure(*event.element.srq);
      break;
    default:
      break;
  }
  verbs_.ack_async_event(&event);
}

}  // namespace weft::verbs

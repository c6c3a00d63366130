#include "transport/verbs/mrc_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/verbs/mrc_immediate.h"

namespace weft::verbs {

Result<std::shared_ptr<MrcDevice>> MrcDevice::open(const mrc::Library& library,
                                                   std::shared_ptr<OpenDevice> device, MrcProfiles profiles) {
  std::shared_ptr<MrcDevice> made(new MrcDevice(library, std::move(device), profiles));
  if (Status opened = made->open_context(); !opened) return opened;
  return made;
}

Status MrcDevice::open_context() {
  const std::string& name = device_->name();
  const auto failed = [&](const char* what, int error) {
    return Status(StatusCode::kInternal,
                  fmt::format("device {}: {} failed: {}", name, what, std::strerror(error)));
  };
  const Status no_mrc(StatusCode::kUnreachable, fmt::format("{} does not speak MRC", name));
  const bool with_context = library_.api_version >= mrc::kAskedWithContext;
  mrc::DeviceAttributes attributes;
  int supported = 0;
  if (!with_context) {
    if (int result = library_.query_device(device_->context(), &attributes, &supported); result != 0)
      return failed("mrc_query_device", mrc::error_of(result));
    if (supported == 0) return no_mrc;
  }
  mrc::ContextAttributes version{library_.api_version, 0};
  context_ = library_.create_context(device_->context(), &version);
  if (context_ == nullptr) {
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV ? no_mrc
                                                                     : failed("mrc_create_context", errno);
  }
  if (with_context) {
    int result = library_.query_device_ex(device_->context(), context_, &attributes, &supported);
    if (result != 0) return failed("mrc_query_device_ex", mrc::error_of(result));
    if (supported == 0) return no_mrc;
  }
  limits_ = attributes.immediates;
  if (std::min(limits_.sent, limits_.received) < 2 * kMrcKeptForCredit) {
    return Status(StatusCode::kUnreachable,
                  fmt::format("device {} takes {} immediates at once and sends {}; Weft needs {} of each",
                              name, limits_.received, limits_.sent, 2 * kMrcKeptForCredit));
  }
  bare_domain_ = device_->verbs().alloc_pd(device_->context());
  return bare_domain_ != nullptr ? Status::ok() : failed("ibv_alloc_pd", errno);
}

MrcDevice::~MrcDevice() {
  if (!birthplace_.is_here()) return;
  if (bare_domain_ != nullptr) device_->verbs().dealloc_pd(bare_domain_);
  if (context_ != nullptr) library_.destroy_context(context_);
}

}  // namespace weft::verbs

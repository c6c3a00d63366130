// A device that speaks MRC: its context of lib_mrc.so beside that of libibverbs, and what its queue pairs may
// have. Constant after open(); any thread. Rails hold it by shared_ptr, and it holds the open device.
#pragma once

#include <cstdint>
#include <memory>

#include "transport/verbs/mrc_library.h"
#include "transport/verbs/open_device.h"
#include "transport/verbs/settings.h"
#include "weft/status.h"

namespace weft::verbs {

class MrcDevice {
 public:
  // kUnreachable where the device does not speak it.
  static Result<std::shared_ptr<MrcDevice>> open(const mrc::Library& library,
                                                 std::shared_ptr<OpenDevice> device, MrcProfiles profiles);
  ~MrcDevice();
  MrcDevice(const MrcDevice&) = delete;
  MrcDevice& operator=(const MrcDevice&) = delete;

  const mrc::Library& library() const { return library_; }
  mrc::Context* context() const { return context_; }
  const mrc::ImmediateLimits& limits() const { return limits_; }
  const MrcProfiles& profiles() const { return profiles_; }
  // A protection domain in which no user memory is ever registered. Without SEND a peer must be able to
  // write, to say goodbye too, after user memory has gone away whose keys it knows: here they open nothing.
  ibv_pd* bare_domain() const { return bare_domain_; }

 private:
  MrcDevice(const mrc::Library& library, std::shared_ptr<OpenDevice> device, MrcProfiles profiles)
      : library_(library), device_(std::move(device)), profiles_(profiles) {}
  Status open_context();

  const mrc::Library& library_;
  const std::shared_ptr<OpenDevice> device_;
  const MrcProfiles profiles_;
  mrc::Context* context_ = nullptr;
  mrc::ImmediateLimits limits_;
  ibv_pd* bare_domain_ = nullptr;
  const process::Birthplace birthplace_;
};

}  // namespace weft::verbs

#include "bench/perf/net_plugin_workload.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "bench/conform/session.h"
#include "bench/exit_status.h"

namespace weft::bench {
namespace {

using conform::NetPlugin;
using conform::Patience;
using conform::require;
using conform::require_success;

constexpr std::size_t kSliceBytes = 512 * 1024;
constexpr std::size_t kWindow = nccl::kMaxSteps;

// Memory that a communicator knows, registered again where a row needs more of it.
class RegisteredMemory {
 public:
  RegisteredMemory(NetPlugin& plugin, void* comm) : plugin_(plugin), comm_(comm) {}

  void* handle_for(std::byte* data, std::size_t bytes) {
    auto found =
        std::find_if(all_.begin(), all_.end(), [&](const Region& region) { return region.data == data; });
    if (found != all_.end() && found->bytes >= bytes) return found->handle;
    if (found != all_.end()) {
      require_success(plugin_.dereg_mr(comm_, found->handle), "deregMr");
      all_.erase(found);
    }
    void* handle = nullptr;
    require_success(plugin_.reg_mr(comm_, data, bytes, nccl::kPtrHost, &handle), "regMr");
    all_.push_back({data, bytes, handle});
    return handle;
  }
  void give_back() {
    for (const Region& region : all_) require_success(plugin_.dereg_mr(comm_, region.handle), "deregMr");
    all_.clear();
  }

 private:
  struct Region {
    std::byte* data;
    std::size_t bytes;
    void* handle;
  };
  NetPlugin& plugin_;
  void* const comm_;
  std::vector<Region> all_;
};

// The slices of one buffer on their way in one direction.
struct Flow {
  bool receives = false;
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  void* mhandle = nullptr;
  std::size_t posted = 0, done = 0;
  std::array<void*, kWindow> requests{};

  std::size_t slices() const { return (bytes + kSliceBytes - 1) / kSliceBytes; }
  bool is_done() const { return done == slices(); }
  bool has_room() const { return posted < slices() && posted - done < kWindow; }
  std::byte* slice() const { return data + posted * kSliceBytes; }
  std::size_t bytes_of(std::size_t slice) const { return std::min(kSliceBytes, bytes - slice * kSliceBytes); }
};

class NetPluginWorkload final : public Workload {
 public:
  NetPluginWorkload(Job& job, const std::string& path) : check_(check_of(path)), session_(check_), job_(job) {
    device_ = job.rank() % session_.devices();
    listener_ = conform::listen(session_, device_);
  }
  std::string handle() const {
    return {reinterpret_cast<const char*>(listener_.handle.data()), listener_.handle.size()};
  }

  void connect(const std::vector<std::string>& handles) {
    const std::string& next = handles[static_cast<std::size_t>((job_.rank() + 1) % job_.size())];
    conform::Handle handle{};
    std::memcpy(handle.data(), next.data(), std::min(next.size(), handle.size()));
    void *send = nullptr, *recv = nullptr;
    Patience patience = session_.patience();
    while (!send || !recv) {
      if (!send) conform::poll_connect(session_, device_, handle, send);
      if (!recv) conform::poll_accept(session_, listener_, recv);
      patience.wait([&] { return std::string(send ? "accept" : "connect"); });
    }
    conform::close_listen(session_, listener_);
    connection_ = std::make_unique<conform::Connection>(session_, send, recv);
    memory_sent_ = std::make_unique<RegisteredMemory>(session_.plugin(), send);
    memory_received_ = std::make_unique<RegisteredMemory>(session_.plugin(), recv);
  }

  std::string_view name() const override { return rows_->name(); }
  bool has_rows_for_each_op() const override { return rows_->has_rows_for_each_op(); }
  void fill(void* input, const Operation& operation, std::uint64_t repetition, int rank, int ranks) override {
    rows_->fill(input, operation, repetition, rank, ranks);
  }
  std::size_t count_wrong(const Operation& operation, std::uint64_t repetition, int rank,
                          int ranks) override {
    return rows_->count_wrong(operation, repetition, rank, ranks);
  }

  // Of a plugin that fails, nothing can be closed without the danger of a hang, and it may still write into
  // the buffers. So the process ends here; the other ranks are told by whoever started it.
  Status run(Communicator&, const Operation& operation) override {
    try {
      move(operation);
    } catch (const conform::Failure& failure) {
      std::fflush(stdout);
      std::_Exit(complain("rank " + std::to_string(job_.rank()) + ", net plugin: " + failure.what()));
    }
    return Status::ok();
  }
  Status finish() override {
    try {
      memory_sent_->give_back();
      memory_received_->give_back();
    } catch (const conform::Failure& failure) {
      return {StatusCode::kInternal,
              "rank " + std::to_string(job_.rank()) + ", net plugin: " + failure.what()};
    }
    return Status::ok();
  }

 private:
  static conform::CheckContext check_of(const std::string& path) {
    conform::CheckContext context;
    context.plugin_path = path;
    context.patience = std::chrono::seconds(60);
    return context;
  }

  void move(const Operation& operation) {
    Flow out, in{.receives = true};
    in.bytes = out.bytes = operation.shape.buffer_elements * size_of(operation.type);
    if (out.bytes == 0) return;
    in.data = static_cast<std::byte*>(operation.output);
    out.data = static_cast<std::byte*>(const_cast<void*>(operation.input));
    if (in.data == out.data) {  // what comes must not take the place of what has not gone
      if (aside_.size() < out.bytes) {
        memory_sent_->give_back();
        aside_.resize(out.bytes);
      }
      std::memcpy(aside_.data(), out.data, out.bytes);
      out.data = aside_.data();
    }
    out.mhandle = memory_sent_->handle_for(out.data, out.bytes);
    in.mhandle = memory_received_->handle_for(in.data, in.bytes);
    Patience patience = session_.patience();
    while (!out.is_done() || !in.is_done()) {
      bool moved = false;
      while (in.has_room() && post_receive(in)) moved = true;
      while (out.has_room() && post_send(out)) moved = true;
      while (in.done < in.posted && is_head_done(in)) moved = true;
      while (out.done < out.posted && is_head_done(out)) moved = true;
      if (moved) {
        patience.moved();
        continue;
      }
      patience.wait([&] {
        return std::to_string(out.done) + " of " + std::to_string(out.slices()) + " slices sent, " +
               std::to_string(in.done) + " received";
      });
    }
  }

  bool post_receive(Flow& flow) {
    void*& request = flow.requests[flow.posted % kWindow];
    void* data[1] = {flow.slice()};
    std::size_t bytes[1] = {flow.bytes_of(flow.posted)};
    int tags[1] = {0};
    void *mhandles[1] = {flow.mhandle}, *phandles[1] = {nullptr};
    request = nullptr;
    require_success(
        session_.plugin().irecv(connection_->recv(), data, bytes, tags, mhandles, phandles, &request),
        "irecv");
    flow.posted += request != nullptr;
    return request != nullptr;
  }
  bool post_send(Flow& flow) {
    void*& request = flow.requests[flow.posted % kWindow];
    request = nullptr;
    require_success(session_.plugin().isend(connection_->send(), flow.slice(), flow.bytes_of(flow.posted), 0,
                                            flow.mhandle, nullptr, &request),
                    "isend");
    flow.posted += request != nullptr;
    return request != nullptr;
  }
  bool is_head_done(Flow& flow) {
    int done = 0, bytes = -1;
    require_success(session_.plugin().test(flow.requests[flow.done % kWindow], &done, &bytes), "test");
    if (done == 0) return false;
    // Of a send, older versions of NCCL ask for no size.
    require(!flow.receives || bytes == static_cast<int>(flow.bytes_of(flow.done)), [&] {
      return "a slice of " + std::to_string(bytes) + " bytes was received, not " +
             std::to_string(flow.bytes_of(flow.done));
    });
    ++flow.done;
    return true;
  }

  const conform::CheckContext check_;
  conform::Session session_;
  Job& job_;
  int device_ = 0;
  conform::Listener listener_;
  std::unique_ptr<conform::Connection> connection_;
  std::unique_ptr<RegisteredMemory> memory_sent_, memory_received_;
  std::vector<std::byte> aside_;
  const std::unique_ptr<Workload> rows_ = make_sendrecv_workload();
};

// All ranks go on, or none does.
template <typename Step>
Status together(Job& job, Step step) {
  std::string wrong;
  try {
    step();
  } catch (const conform::Failure& failure) {
    wrong = "rank " + std::to_string(job.rank()) + ": net plugin: " + failure.what();
  }
  auto all = job.gather_text(wrong);
  if (!all) return all.status();
  std::string all_wrong;
  for (const std::string& one : *all)
    if (!one.empty()) all_wrong += (all_wrong.empty() ? "" : "; ") + one;
  return all_wrong.empty() ? Status::ok() : Status(StatusCode::kBadConfiguration, all_wrong);
}

}  // namespace

Result<std::unique_ptr<Workload>> make_net_plugin_workload(Job& job, const std::string& path) {
  std::unique_ptr<NetPluginWorkload> workload;
  if (Status loaded = together(job, [&] { workload = std::make_unique<NetPluginWorkload>(job, path); });
      !loaded)
    return loaded;
  auto handles = job.gather_text(workload->handle());
  if (!handles) return handles.status();
  if (Status connected = together(job, [&] { workload->connect(*handles); }); !connected) return connected;
  return std::unique_ptr<Workload>(std::move(workload));
}

}  // namespace weft::bench

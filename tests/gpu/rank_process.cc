#include "tests/gpu/rank_process.h"

#include <cuda_runtime_api.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "tests/gpu/device_check.h"
#include "tests/gpu/launcher.h"
#include "tests/gpu/nccl_api.h"

namespace weft::gputest {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kGuardBytes = 256;
constexpr unsigned char kGuard = 0xA5;
constexpr unsigned char kPoison = 0x5A;  // what an output holds before the operation

// Thrown when nothing more can be done; ends the process with an "error" line.
struct RankFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void check_cuda(int error, const char* what) {
  if (error == cudaSuccess) return;
  throw RankFailure(std::string(what) + ": " + cudaGetErrorString(static_cast<cudaError_t>(error)));
}

class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t bytes) { check_cuda(cudaMalloc(&data_, bytes), "cudaMalloc"); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { cudaFree(data_); }
  unsigned char* data() const { return static_cast<unsigned char*>(data_); }

 private:
  void* data_ = nullptr;
};

std::size_t buffer_bytes(const std::vector<Case>& plan) {
  std::size_t most = 0;
  for (const Case& c : plan) most = std::max(most, c.bytes());
  return most + 2 * kGuardBytes + 64;  // 64: unaligned layouts begin one element later
}

class Rank {
 public:
  Rank(const RankOptions& options, int control_fd)
      : options_(options),
        control_(control_fd),
        nccl_(open_nccl(options)),
        device_ready_(prepare_device(options)),
        input_(buffer_bytes(options.plan)),
        output_(buffer_bytes(options.plan)),
        wrong_(sizeof(unsigned long long)) {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    if (options.rank == 0) control_.send("info nccl " + nccl_.version + " (" + nccl_.path + ")");
  }
  ~Rank() { cudaStreamDestroy(stream_); }

  void run_plan() {
    for (int round = 0; round < options_.communicators; ++round) {
      open_communicator();
      const bool last = round + 1 == options_.communicators;
      for (std::size_t i = 0; i < (last ? options_.plan.size() : 1); ++i) run_case(i, round, last);
      control_.barrier("all cases done");
      check_nccl(nccl_.comm_destroy(comm_), "ncclCommDestroy");
    }
  }

  void run_until_peer_is_lost();

 private:
  // A case's buffers, as NCCL gets them.
  struct Buffers {
    unsigned char* input;
    unsigned char* output;
  };

  static NcclApi open_nccl(const RankOptions& options) {
    Result<NcclApi> api = NcclApi::open(options.nccl_path);
    if (!api) throw RankFailure(api.status().message());
    return *api;
  }
  static bool prepare_device(const RankOptions& options) {
    check_cuda(cudaSetDevice(options.device), "cudaSetDevice");
    return true;
  }

  void check_nccl(int result, const char* what) const {
    if (result == kNcclSuccess || result == kNcclInProgress) return;
    throw RankFailure(std::string(what) + ": " + nccl_.get_error_string(result) + " (" +
                      nccl_.get_last_error(comm_) + ")");
  }

  void open_communicator() {
    NcclUniqueId id{};
    if (options_.rank == 0) check_nccl(nccl_.get_unique_id(&id), "ncclGetUniqueId");
    const std::string text = control_.share(options_.rank, encode(id));
    check_nccl(nccl_.comm_init_rank(&comm_, options_.ranks, decode(text), options_.rank), "ncclCommInitRank");
  }

  static std::string encode(const NcclUniqueId& id) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const char byte : id.bytes) {
      text += kDigits[static_cast<unsigned char>(byte) >> 4];
      text += kDigits[static_cast<unsigned char>(byte) & 15];
    }
    return text;
  }
  static NcclUniqueId decode(const std::string& text) {
    NcclUniqueId id{};
    if (text.size() != 2 * sizeof id.bytes) throw RankFailure("the launcher sent a broken ncclUniqueId");
    for (std::size_t i = 0; i < sizeof id.bytes; ++i) {
      id.bytes[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
    }
    return id;
  }

  Buffers place(const Case& c) const {
    const std::size_t shift = c.layout == Layout::kUnaligned ? size_of(c.collective.type) : 0;
    Buffers buffers{input_.data() + kGuardBytes + shift, output_.data() + kGuardBytes + shift};
    if (c.layout == Layout::kInPlace) {
      buffers.input =
          buffers.output + in_place_offset(c.collective, options_.rank) * size_of(c.collective.type);
    }
    return buffers;
  }

  void prepare(const Case& c, const Buffers& buffers, std::uint64_t seed);
  void enqueue(const Collective& c, const Buffers& buffers);
  void enqueue_blocks(const Collective& c, const Buffers& buffers);
  bool wait(std::chrono::milliseconds timeout, std::string& problem);
  void run_case(std::size_t index, int round, bool report);
  Comparison check_on_host(const Case& c, const Buffers& buffers, std::uint64_t seed) const;
  std::size_t check_on_device(const Case& c, const Buffers& buffers, std::uint64_t seed) const;

  const RankOptions& options_;
  ControlChannel control_;
  NcclApi nccl_;
  bool device_ready_;  // the device must be chosen before the buffers below are made
  DeviceBuffer input_, output_, wrong_;
  cudaStream_t stream_ = nullptr;
  NcclComm comm_ = nullptr;
};

void Rank::prepare(const Case& c, const Buffers& buffers, std::uint64_t seed) {
  const std::size_t bytes = output_count(c.collective, options_.rank) * size_of(c.collective.type);
  check_cuda(cudaMemsetAsync(buffers.output - kGuardBytes, kGuard, kGuardBytes, stream_), "cudaMemsetAsync");
  check_cuda(cudaMemsetAsync(buffers.output, kPoison, bytes, stream_), "cudaMemsetAsync");
  check_cuda(cudaMemsetAsync(buffers.output + bytes, kGuard, kGuardBytes, stream_), "cudaMemsetAsync");
  check_cuda(fill_input_on_device(c.collective, seed, options_.rank, buffers.input, stream_),
             "the fill kernel");
  check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void Rank::enqueue(const Collective& c, const Buffers& buffers) {
  const int type = static_cast<int>(c.type);
  switch (c.operation) {
    case Operation::kAllReduce:
      return check_nccl(
          nccl_.all_reduce(buffers.input, buffers.output, c.count, type, kNcclSum, comm_, stream_),
          "ncclAllReduce");
    case Operation::kAllGather:
      return check_nccl(nccl_.all_gather(buffers.input, buffers.output, c.count, type, comm_, stream_),
                        "ncclAllGather");
    case Operation::kAllToAll:
    case Operation::kAllToAllV:
      return enqueue_blocks(c, buffers);
  }
}

void Rank::enqueue_blocks(const Collective& c, const Buffers& buffers) {
  const int type = static_cast<int>(c.type);
  check_nccl(nccl_.group_start(), "ncclGroupStart");
  for (int peer = 0; peer < c.ranks; ++peer) {
    check_nccl(nccl_.send(buffers.input + send_offset(c, options_.rank, peer) * size_of(c.type),
                          block_count(c, options_.rank, peer), type, peer, comm_, stream_),
               "ncclSend");
    check_nccl(nccl_.receive(buffers.output + receive_offset(c, peer, options_.rank) * size_of(c.type),
                             block_count(c, peer, options_.rank), type, peer, comm_, stream_),
               "ncclRecv");
  }
  check_nccl(nccl_.group_end(), "ncclGroupEnd");
}

// Waits as frameworks do: for the stream, and for NCCL's asynchronous error, after which the stream never
// ends.
bool Rank::wait(std::chrono::milliseconds timeout, std::string& problem) {
  const Clock::time_point start = Clock::now();
  for (;;) {
    const cudaError_t state = cudaStreamQuery(stream_);
    if (state == cudaSuccess) return true;
    if (state != cudaErrorNotReady) check_cuda(state, "the stream of the operation");
    int error = kNcclSuccess;
    check_nccl(nccl_.comm_get_async_error(comm_, &error), "ncclCommGetAsyncError");
    const Clock::duration waited = Clock::now() - start;
    if (error != kNcclSuccess && error != kNcclInProgress) {
      problem = std::string(nccl_.get_error_string(error)) + " (" + nccl_.get_last_error(comm_) + ")";
      return false;
    }
    if (waited > timeout) {
      problem = "not finished within " + std::to_string(timeout.count()) + " ms, and NCCL reports no error";
      return false;
    }
    if (waited < std::chrono::milliseconds(5)) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

Comparison Rank::check_on_host(const Case& c, const Buffers& buffers, std::uint64_t seed) const {
  const std::size_t bytes = output_count(c.collective, options_.rank) * size_of(c.collective.type);
  std::vector<unsigned char> copy(bytes + 2 * kGuardBytes);
  check_cuda(cudaMemcpy(copy.data(), buffers.output - kGuardBytes, copy.size(), cudaMemcpyDeviceToHost),
             "cudaMemcpy");
  Comparison result = compare_output(c.collective, seed, options_.rank, copy.data() + kGuardBytes);
  result.wrong_bytes += count_other_bytes(copy.data(), kGuardBytes, kGuard) +
                        count_other_bytes(copy.data() + kGuardBytes + bytes, kGuardBytes, kGuard);
  return result;
}

std::size_t Rank::check_on_device(const Case& c, const Buffers& buffers, std::uint64_t seed) const {
  auto* counter = reinterpret_cast<unsigned long long*>(wrong_.data());
  check_cuda(cudaMemsetAsync(counter, 0, sizeof *counter, stream_), "cudaMemsetAsync");
  check_cuda(check_output_on_device(c.collective, seed, options_.rank, buffers.output, kGuardBytes, kGuard,
                                    counter, stream_),
             "the check kernel");
  unsigned long long wrong = 0;
  check_cuda(cudaMemcpyAsync(&wrong, counter, sizeof wrong, cudaMemcpyDeviceToHost, stream_),
             "cudaMemcpyAsync");
  check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  return wrong;
}

void Rank::run_case(std::size_t index, int round, bool report) {
  const Case& c = options_.plan[index];
  const Buffers buffers = place(c);
  std::vector<double> times_us;
  Comparison total;
  // Iteration 0 opens NCCL's connections and is not timed. It and the last are read back and compared by the
  // host.
  for (int iteration = 0; iteration <= options_.iterations; ++iteration) {
    const std::uint64_t seed = (static_cast<std::uint64_t>(round) << 48) + (index << 16) + iteration + 1;
    prepare(c, buffers, seed);
    control_.barrier(c.words());
    const Clock::time_point start = Clock::now();
    enqueue(c.collective, buffers);
    std::string problem;
    if (!wait(options_.operation_timeout, problem)) {
      throw RankFailure(c.words() + ": " + problem);
    }
    if (iteration > 0)
      times_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    std::size_t wrong = check_on_device(c, buffers, seed);
    if (iteration == 0 || iteration == options_.iterations) {
      const Comparison host = check_on_host(c, buffers, seed);
      if (host.wrong_bytes != wrong) {
        throw RankFailure("host and GPU disagree about an output: " + std::to_string(host.wrong_bytes) +
                          " and " + std::to_string(wrong) + " wrong bytes; the test itself is broken");
      }
      if (total.wrong_bytes == 0) total.first_wrong_element = host.first_wrong_element;
    }
    total.wrong_bytes += wrong;
  }
  if (!report) {
    if (total.wrong_bytes == 0) return;
    throw RankFailure(c.words() + ": " + std::to_string(total.wrong_bytes) + " wrong bytes in communicator " +
                      std::to_string(round + 1) + " of " + std::to_string(options_.communicators));
  }
  std::nth_element(times_us.begin(), times_us.begin() + times_us.size() / 2, times_us.end());
  control_.send("row " + std::to_string(index) + " " + std::to_string(times_us[times_us.size() / 2]) + " " +
                std::to_string(total.wrong_bytes) + " " + std::to_string(total.first_wrong_element));
}

void Rank::run_until_peer_is_lost() {
  open_communicator();
  const Case& c = options_.plan.front();
  const Buffers buffers = place(c);
  prepare(c, buffers, 1);
  enqueue(c.collective, buffers);
  std::string problem;
  if (!wait(options_.operation_timeout, problem)) throw RankFailure("before the kill: " + problem);
  control_.barrier("the kill");
  // Many operations are queued, so that the kill falls into a transfer; one more at the survivors, so that
  // they cannot be done before it.
  const bool dies = options_.rank == options_.ranks - 1;
  for (int i = 0; i < (dies ? 50 : 51); ++i) enqueue(c.collective, buffers);
  if (dies) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::kill(::getpid(), SIGKILL);
  }
  const Clock::time_point start = Clock::now();
  if (wait(options_.operation_timeout, problem))
    throw RankFailure("all operations finished without the lost peer");
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  std::replace(problem.begin(), problem.end(), '\n', ' ');
  if (waited >= options_.operation_timeout)
    throw RankFailure("the loss of a peer was not reported: " + problem);
  control_.send("peer-lost " + std::to_string(waited.count()) + " " + problem);
  nccl_.comm_abort(comm_);
}

}  // namespace

int run_rank(const RankOptions& options, int control_fd) {
  const ControlChannel control(control_fd);
  try {
    {
      Rank rank(options, control_fd);
      options.kill_last_rank ? rank.run_until_peer_is_lost() : rank.run_plan();
    }
    control.send("done");
    return 0;
  } catch (const std::exception& failure) {
    std::string text = failure.what();
    std::replace(text.begin(), text.end(), '\n', ' ');
    control.send("error " + text);
    // Not exit(): destructors of libraries may wait for what will never come.
    ::_exit(1);
  }
}

}  // namespace weft::gputest

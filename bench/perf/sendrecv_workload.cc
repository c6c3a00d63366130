#include "bench/perf/workload.h"

namespace weft::bench {
namespace {

// Every rank sends to the next one in a ring and receives from the previous one, at the same time.
class SendrecvWorkload final : public Workload {
 public:
  std::string_view name() const override { return "sendrecv"; }
  // That of nccl-tests names reductions in its rows, and has one for each, although it reduces nothing.
  bool has_rows_for_each_op() const override { return true; }

  Status run(Communicator& communicator, const Operation& operation) override {
    const int ranks = communicator.size();
    const int next = (communicator.rank() + 1) % ranks;
    const int previous = (communicator.rank() + ranks - 1) % ranks;
    return communicator.send_receive(next, operation.input, previous, operation.output,
                                     operation.shape.buffer_elements * size_of(operation.type));
  }
  void fill(void* input, const Operation& operation, std::uint64_t repetition, int rank, int ranks) override {
    fill_moved(input, operation, repetition, rank);
  }
  std::size_t count_wrong(const Operation& operation, std::uint64_t repetition, int rank,
                          int ranks) override {
    const int previous = (rank + ranks - 1) % ranks;
    return count_wrong_moved(operation.output, operation.shape.buffer_elements, operation, repetition,
                             previous, 0);
  }
};

}  // namespace

std::unique_ptr<Workload> make_sendrecv_workload() {
  return std::make_unique<SendrecvWorkload>();
}

}  // namespace weft::bench

#include "bench/perf/pattern.h"
#include "bench/perf/workload.h"

namespace weft::bench {
namespace {

class AllReduceWorkload final : public Workload {
 public:
  std::string_view name() const override { return "all_reduce"; }
  bool has_rows_for_each_op() const override { return true; }
  bool table_shows_in_place_errors() const override { return true; }
  double bus_factor(int ranks) const override { return 2.0 * (ranks - 1) / ranks; }

  Status run(Communicator& communicator, const Operation& operation) override {
    return communicator.all_reduce(operation.input, operation.output, operation.shape.buffer_elements,
                                   operation.type, operation.op);
  }
  void fill(void* input, const Operation& operation, std::uint64_t repetition, int rank, int ranks) override {
    fill_operand(input, operation.shape.buffer_elements, operation.type, operation.op, repetition, rank,
                 ranks);
  }
  std::size_t count_wrong(const Operation& operation, std::uint64_t repetition, int rank,
                          int ranks) override {
    return count_wrong_reduced(operation.output, operation.shape.buffer_elements, operation.type,
                               operation.op, repetition, ranks);
  }
};

}  // namespace

std::unique_ptr<Workload> make_all_reduce_workload() {
  return std::make_unique<AllReduceWorkload>();
}

}  // namespace weft::bench

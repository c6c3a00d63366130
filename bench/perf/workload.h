// What a row of the table measures: one collective, its sizes, its data and its bandwidth. One file for each.
//
// One thread. Nothing is owned but the description.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "bench/perf/data_file.h"
#include "weft/communicator.h"

namespace weft::bench {

// What a size on the command line means for one collective.
struct RowShape {
  std::size_t buffer_elements = 0;  // of the send and of the receive buffer
  std::size_t count = 0;            // the table's second column
};

// One operation to be run, and then checked.
struct Operation {
  const void* input = nullptr;
  void* output = nullptr;
  RowShape shape;
  DataType type = DataType::kFloat32;
  ReduceOp op = ReduceOp::kSum;
  const DataFile* data = nullptr;  // to be moved instead of patterns
};

class Workload {
 public:
  virtual ~Workload() = default;

  virtual std::string_view name() const = 0;
  // The table's fourth column: "none" for collectives that reduce nothing and whose nccl-tests counterpart
  // says so.
  virtual std::string_view op_name(ReduceOp op) const { return to_string(op); }
  // Whether -o all gives a row for each reduction.
  virtual bool has_rows_for_each_op() const { return false; }
  // nccl-tests prints N/A for collectives that NCCL cannot do in place. Weft can, so it is checked all the
  // same.
  virtual bool table_shows_in_place_errors() const { return false; }

  virtual RowShape shape(std::size_t bytes, std::size_t element_bytes, int ranks) const {
    const std::size_t elements = bytes / element_bytes;
    return {elements, elements};
  }
  // The data over which algbw is counted is the whole buffer; busbw is this many times that.
  virtual double bus_factor(int ranks) const { return 1; }

  virtual Status run(Communicator& communicator, const Operation& operation) = 0;
  // Writes this rank's input.
  virtual void fill(void* input, const Operation& operation, std::uint64_t repetition, int rank,
                    int ranks) = 0;
  // Before the buffers of its operations go.
  virtual Status finish() { return Status::ok(); }
  // Elements of the output that are not what they must be.
  virtual std::size_t count_wrong(const Operation& operation, std::uint64_t repetition, int rank,
                                  int ranks) = 0;
};

// Of operation.data, or else fill_bits(): what collectives send that only move data.
void fill_moved(void* data, const Operation& operation, std::uint64_t repetition, int rank);
std::size_t count_wrong_moved(const void* data, std::size_t elements, const Operation& operation,
                              std::uint64_t repetition, int rank, std::uint64_t first_element);

std::unique_ptr<Workload> make_all_reduce_workload();
std::unique_ptr<Workload> make_all_to_all_workload();
std::unique_ptr<Workload> make_sendrecv_workload();

}  // namespace weft::bench

// Collectives on host memory between the ranks of a job: the programmer's face of Weft.
//
//   auto context = weft::Context::create(config, {});
//   auto bootstrap = weft::Bootstrap::create({.place = place});
//   auto communicator = weft::Communicator::create(**context, **bootstrap);
//   (*communicator)->all_reduce(in, out, count, weft::DataType::kFloat32, weft::ReduceOp::kSum);
//
// Every call blocks until it is done. Collectives are called by all ranks, in the same order, with the same
// sizes and types; a mismatch that is noticed is kProtocolError, one that is not ends with the deadline of a
// peer that gave up. Threads: one at a time. Ownership: the Context must outlive the Communicator, the
// Bootstrap is only used by create(). Errors: the first failure closes all connections of the communicator,
// so that the other ranks fail too instead of waiting, and every later call returns it again. Buffers are not
// touched after a call has returned, failed or not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "weft/bootstrap.h"
#include "weft/context.h"
#include "weft/data_type.h"
#include "weft/status.h"

namespace weft {

class Communicator {
 public:
  // Tags of send() and receive() are below this; the others are the library's.
  static constexpr std::uint32_t kFirstReservedTag = 0x80000000u;

  // Connects every pair of ranks. Collective.
  static Result<std::unique_ptr<Communicator>> create(Context& context, Bootstrap& bootstrap);
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // output[i] = the reduction of all ranks' input[i]. Input and output may be the same buffer, otherwise they
  // must not overlap. All ranks get the same bits.
  virtual Status all_reduce(const void* input, void* output, std::size_t elements, DataType type,
                            ReduceOp op) = 0;

  // Block r of the input goes to rank r; block r of the output comes from rank r. Both hold size() blocks of
  // `block_bytes`. With input == output, the input is copied aside first (memory for that is kept for the
  // next call).
  virtual Status all_to_all(const void* input, void* output, std::size_t block_bytes) = 0;

  // Meets receive() of the other rank with the same tag, in order. `received_bytes` may be null; a message
  // may be smaller than the capacity, not larger.
  virtual Status send(int to_rank, const void* data, std::size_t bytes, std::uint32_t tag = 0) = 0;
  virtual Status receive(int from_rank, void* data, std::size_t capacity,
                         std::size_t* received_bytes = nullptr, std::uint32_t tag = 0) = 0;
  // Both at once, of the same size; with input == output as for all_to_all().
  virtual Status send_receive(int to_rank, const void* input, int from_rank, void* output, std::size_t bytes,
                              std::uint32_t tag = 0) = 0;

  // Nobody leaves before everybody has come.
  virtual Status barrier() = 0;

  // The connection to a rank, for its statistics and drills (cut_path); null for this rank itself and after a
  // failure. Belongs to the communicator.
  virtual Connection* connection(int peer_rank) = 0;

  // Called in the midst of collectives by the thread that runs them, after each piece of data that has
  // arrived, with the bytes received so far in this call. May use connection(). For drills and progress
  // displays.
  virtual void set_observer(std::function<void(std::uint64_t bytes_received)> observer) = 0;

  // Bytes that the last collective gave to connections: docs/algorithms.md has the formulas.
  virtual std::uint64_t last_bytes_sent() const = 0;
};

}  // namespace weft

// The functions of NCCL that the GPU tests call, found at run time: the tests build without NCCL's headers
// and run with whatever libnccl.so.2 is there.
#pragma once

#include <cstddef>
#include <string>

#include "weft/status.h"

struct CUstream_st;  // a cudaStream_t points to one

namespace weft::gputest {

using NcclComm = void*;
using CudaStream = CUstream_st*;

// Passed by value, as NCCL's ncclUniqueId is.
struct NcclUniqueId {
  char bytes[128];
};

inline constexpr int kNcclSuccess = 0;
inline constexpr int kNcclInProgress = 7;
inline constexpr int kNcclSum = 0;

struct NcclApi {
  int (*get_version)(int* version);
  int (*get_unique_id)(NcclUniqueId* id);
  int (*comm_init_rank)(NcclComm* comm, int ranks, NcclUniqueId id, int rank);
  int (*comm_destroy)(NcclComm comm);
  int (*comm_abort)(NcclComm comm);
  int (*comm_get_async_error)(NcclComm comm, int* error);
  const char* (*get_error_string)(int result);
  const char* (*get_last_error)(NcclComm comm);
  int (*all_reduce)(const void* send, void* receive, std::size_t count, int type, int operation,
                    NcclComm comm, CudaStream stream);
  int (*all_gather)(const void* send, void* receive, std::size_t count, int type, NcclComm comm,
                    CudaStream stream);
  int (*send)(const void* data, std::size_t count, int type, int peer, NcclComm comm, CudaStream stream);
  int (*receive)(void* data, std::size_t count, int type, int peer, NcclComm comm, CudaStream stream);
  int (*group_start)();
  int (*group_end)();

  std::string path;      // the file that was loaded
  std::string version;   // "2.28.9"
  int version_code = 0;  // 22809

  // Opens `path`, or, if it is empty, the first of: libnccl.so.2 as the loader finds it, the one in python3's
  // package nvidia.nccl. Never closed: NCCL keeps threads. The error says where it looked.
  static Result<NcclApi> open(const std::string& path);
};

}  // namespace weft::gputest

// What every version of NCCL's network plugin ABI shares: result codes, memory types, limits, the log
// function, the device offload handle and the profiler callback.
//
// This is a binary contract with a library that we do not build: the values and layouts here are NCCL's, the
// names are ours. Nothing in here owns memory, throws or depends on a thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::nccl {

enum class Result : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

// Bits of Properties::ptr_support and values of reg_mr's type.
inline constexpr int kPtrHost = 0x1;
inline constexpr int kPtrCuda = 0x2;
inline constexpr int kPtrDmaBuf = 0x4;

// A handle travels between ranks as this many opaque bytes.
inline constexpr size_t kHandleBytes = 128;
// Requests that NCCL keeps in flight on one communicator (times max_recvs for grouped receives).
inline constexpr int kMaxRequests = 32;
// Steps that one NCCL connection keeps in flight.
inline constexpr int kMaxSteps = 8;
// What NCCL assumes before v9, where a plugin cannot say it; later also the upper bound for max_p2p_bytes.
inline constexpr size_t kDefaultMaxP2pBytes = size_t{1} << 30;
inline constexpr size_t kDefaultMaxCollBytes = size_t{1} << 29;
inline constexpr size_t kMaxNetBytes = size_t{1} << 40;

// NCCL puts this value into *request before irecv when it does not need to learn of the completion (v9 and
// later).
inline constexpr uintptr_t kOptionalRecvCompletion = 0x1;

inline constexpr int kTrafficClassUndefined = -1;
inline constexpr int kAttributeUndefined = -1;
inline constexpr int16_t kFabricIdUndefined = -1;  // rail_id and plane_id when they are not known

enum class LogLevel : int { kNone = 0, kVersion = 1, kWarn = 2, kInfo = 3, kAbort = 4, kTrace = 5 };

// Bits of the log function's flags.
inline constexpr unsigned long kLogInit = 0x1;
inline constexpr unsigned long kLogNet = 0x10;
inline constexpr unsigned long kLogEnv = 0x80;
inline constexpr unsigned long kLogAll = ~0UL;

// printf-like; may be called from any thread.
using LogFunction = void (*)(LogLevel level, unsigned long flags, const char* file, int line,
                             const char* format, ...);

enum class NetDeviceType : int { kHost = 0, kUnpack = 1, kGinProxy = 2, kGinGdaki = 3, kGinGpi = 4 };
inline constexpr int kNetDeviceInvalidVersion = 0;

// From v7 on connect and accept take a pointer to a pointer to one of these. Only plugins whose
// net_device_type is not kHost look at it, and RCCL passes a struct of its own through the same argument.
struct NetDeviceHandle {
  NetDeviceType type;
  int version;
  void* handle;
  size_t size;
  int needs_proxy_progress;
};
static_assert(sizeof(NetDeviceHandle) == 32);
static_assert(offsetof(NetDeviceHandle, version) == 4);
static_assert(offsetof(NetDeviceHandle, handle) == 8);
static_assert(offsetof(NetDeviceHandle, size) == 16);
static_assert(offsetof(NetDeviceHandle, needs_proxy_progress) == 24);

enum class ProfilerNetEvent : int { kStart = 0, kStop = 1, kUpdate = 2, kUpdateAndStop = 3 };

// From v10 on: reports an event of the plugin's own to NCCL's profiler. phandle is the one given to isend or
// irecv.
using ProfilerCallback = Result (*)(void** event_handle, int type, void* phandle, int64_t plugin_id,
                                    void* extra_data);

static_assert(sizeof(Result) == 4 && sizeof(LogLevel) == 4 && sizeof(NetDeviceType) == 4);

}  // namespace weft::nccl

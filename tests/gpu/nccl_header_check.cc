// Nothing but compile-time checks: nccl_api.h and element.h declare NCCL's functions and numbers by hand, and
// must agree with its header wherever there is one.
#include <nccl.h>

#include <type_traits>

#include "tests/gpu/element.h"
#include "tests/gpu/nccl_api.h"

namespace weft::gputest {
namespace {

// Ours has int where NCCL has an enumeration, void* for its communicator, and our own ncclUniqueId.
template <typename Ours, typename Theirs>
inline constexpr bool kSameArgument =
    std::is_same_v<Ours, Theirs> || (std::is_enum_v<Theirs> && std::is_same_v<Ours, int>) ||
    (std::is_same_v<Ours, NcclComm> && std::is_same_v<Theirs, ncclComm_t>) ||
    (std::is_same_v<Ours, NcclComm*> && std::is_same_v<Theirs, ncclComm_t*>) ||
    (std::is_same_v<Ours, int*> && std::is_same_v<Theirs, ncclResult_t*>) ||
    (std::is_same_v<Ours, NcclUniqueId> && std::is_same_v<Theirs, ncclUniqueId>) ||
    (std::is_same_v<Ours, NcclUniqueId*> && std::is_same_v<Theirs, ncclUniqueId*>);

template <typename R1, typename... A1, typename R2, typename... A2>
constexpr bool same(R1 (*)(A1...), R2 (*)(A2...)) {
  if constexpr (sizeof...(A1) != sizeof...(A2)) {
    return false;
  } else {
    return kSameArgument<R1, R2> && (kSameArgument<A1, A2> && ...);
  }
}

template <auto Member>
using Pointer = std::remove_reference_t<decltype(std::declval<NcclApi>().*Member)>;

static_assert(sizeof(ncclResult_t) == sizeof(int) && sizeof(NcclUniqueId) == sizeof(ncclUniqueId));
static_assert(same(Pointer<&NcclApi::get_version>{}, decltype(&ncclGetVersion){}));
static_assert(same(Pointer<&NcclApi::get_unique_id>{}, decltype(&ncclGetUniqueId){}));
static_assert(same(Pointer<&NcclApi::comm_init_rank>{}, decltype(&ncclCommInitRank){}));
static_assert(same(Pointer<&NcclApi::comm_destroy>{}, decltype(&ncclCommDestroy){}));
static_assert(same(Pointer<&NcclApi::comm_abort>{}, decltype(&ncclCommAbort){}));
static_assert(same(Pointer<&NcclApi::comm_get_async_error>{}, decltype(&ncclCommGetAsyncError){}));
static_assert(same(Pointer<&NcclApi::get_error_string>{}, decltype(&ncclGetErrorString){}));
static_assert(same(Pointer<&NcclApi::get_last_error>{}, decltype(&ncclGetLastError){}));
static_assert(same(Pointer<&NcclApi::all_reduce>{}, decltype(&ncclAllReduce){}));
static_assert(same(Pointer<&NcclApi::all_gather>{}, decltype(&ncclAllGather){}));
static_assert(same(Pointer<&NcclApi::send>{}, decltype(&ncclSend){}));
static_assert(same(Pointer<&NcclApi::receive>{}, decltype(&ncclRecv){}));
static_assert(same(Pointer<&NcclApi::group_start>{}, decltype(&ncclGroupStart){}));
static_assert(same(Pointer<&NcclApi::group_end>{}, decltype(&ncclGroupEnd){}));

static_assert(kNcclSuccess == ncclSuccess && kNcclInProgress == ncclInProgress && kNcclSum == ncclSum);
static_assert(static_cast<int>(ElementType::kInt8) == ncclInt8 &&
              static_cast<int>(ElementType::kUint8) == ncclUint8);
static_assert(static_cast<int>(ElementType::kInt32) == ncclInt32 &&
              static_cast<int>(ElementType::kUint32) == ncclUint32);
static_assert(static_cast<int>(ElementType::kInt64) == ncclInt64 &&
              static_cast<int>(ElementType::kUint64) == ncclUint64);
static_assert(static_cast<int>(ElementType::kFloat16) == ncclFloat16);
static_assert(static_cast<int>(ElementType::kFloat32) == ncclFloat32);
static_assert(static_cast<int>(ElementType::kFloat64) == ncclFloat64);
static_assert(static_cast<int>(ElementType::kBfloat16) == ncclBfloat16);
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 0)
static_assert(static_cast<int>(ElementType::kFloat8E4M3) == ncclFloat8e4m3 &&
              static_cast<int>(ElementType::kFloat8E5M2) == ncclFloat8e5m2);
#endif

}  // namespace
}  // namespace weft::gputest

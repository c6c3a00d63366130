// Marks for the one source of the kernels: nvcc compiles it for the GPU alone, any other compiler for the
// host, where 32 lanes run in turn (host_lanes.h).
#pragma once

#if defined(__CUDACC__)
#define WEFT_DEVICE __device__ __forceinline__
// A loop whose registers are indexed by constants must be unrolled; one that is rarely run should not be.
#define WEFT_UNROLLED _Pragma("unroll")
#define WEFT_ROLLED _Pragma("unroll 1")
#else
#define WEFT_DEVICE inline
#define WEFT_UNROLLED
#define WEFT_ROLLED
#endif

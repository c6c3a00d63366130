// Marks what the CPU and the GPU both run.
//
// Inlined always, on purpose: files that are compiled for newer instructions (cpu/avx2.cc) must not leave a
// copy of such a function behind that the linker then takes for everybody.
#pragma once

#if defined(__CUDACC__)
#define WEFT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define WEFT_HOST_DEVICE [[gnu::always_inline]] inline
#endif

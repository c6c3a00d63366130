# Tri-state options for optional parts: AUTO uses what is found, ON fails without it, OFF never looks.
# weft_print_summary() says at the end what this build has and what it lacks.

function(weft_tristate name description)
  set(WEFT_${name} AUTO CACHE STRING "${description}: AUTO, ON or OFF")
  set_property(CACHE WEFT_${name} PROPERTY STRINGS AUTO ON OFF)
  if(NOT WEFT_${name} MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "WEFT_${name}=${WEFT_${name}}: use AUTO, ON or OFF.")
  endif()
endfunction()

# weft_resolve(name found detail): sets WEFT_HAVE_<name> and the line of the summary.
function(weft_resolve name found detail)
  if(WEFT_${name} STREQUAL "OFF")
    set(have OFF)
    set(text "off (WEFT_${name}=OFF)")
  elseif(found)
    set(have ON)
    set(text "yes, ${detail}")
  elseif(WEFT_${name} STREQUAL "ON")
    message(FATAL_ERROR "WEFT_${name}=ON, but it was not found: ${detail}")
  else()
    set(have OFF)
    set(text "no: ${detail}")
  endif()
  set(WEFT_HAVE_${name} ${have} CACHE INTERNAL "")
  set_property(GLOBAL APPEND_STRING PROPERTY WEFT_SUMMARY "\n  ${name}: ${text}")
endfunction()

weft_tristate(CUDA "Device code and GPU tests (CUDA toolkit)")
weft_tristate(VERBS "RDMA through libibverbs")
weft_tristate(UCX "Fabrics that UCX reaches")

if(WEFT_CUDA STREQUAL "OFF")
  weft_resolve(CUDA FALSE "")
else()
  find_package(CUDAToolkit QUIET)
  weft_resolve(CUDA "${CUDAToolkit_FOUND}" "CUDA toolkit ${CUDAToolkit_VERSION} (set CUDAToolkit_ROOT if it is elsewhere)")
endif()

# The UCX backend is not written yet: AUTO says so, ON refuses, and nobody is told that a part is in that is not.
weft_resolve(UCX FALSE "this version of Weft has no such backend")

find_package(Threads REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json 3 REQUIRED)
find_package(fmt REQUIRED)
find_package(PkgConfig REQUIRED)
# Headers only: the library is opened at run time, so that what is built here starts on machines without it. That it
# is here all the same shows that the headers are those of an installed rdma-core.
if(WEFT_VERBS STREQUAL "OFF")
  weft_resolve(VERBS FALSE "")
else()
  pkg_check_modules(ibverbs QUIET libibverbs)
  find_path(WEFT_VERBS_INCLUDE infiniband/verbs.h HINTS ${ibverbs_INCLUDE_DIRS} ${ibverbs_INCLUDEDIR})
  if(ibverbs_FOUND AND WEFT_VERBS_INCLUDE)
    weft_resolve(VERBS TRUE "headers of libibverbs ${ibverbs_VERSION}; the library is opened at run time")
  else()
    weft_resolve(VERBS FALSE "pkg-config finds no libibverbs (Debian: libibverbs-dev, pkg-config)")
  endif()
endif()
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
# Static where there is one: the NCCL plugin must load on machines that have no libsodium.
find_library(WEFT_SODIUM_ARCHIVE libsodium.a HINTS ${sodium_LIBRARY_DIRS} ${sodium_LIBDIR})
if(WEFT_SODIUM_ARCHIVE)
  set_target_properties(PkgConfig::sodium PROPERTIES INTERFACE_LINK_LIBRARIES "${WEFT_SODIUM_ARCHIVE}")
endif()

option(WEFT_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(WEFT_BENCHMARKS "Build the yardsticks of bench/, which the netns tests compare with" ON)
option(WEFT_PLANTED_BUGS "Build the multipath core once more with each planted bug, which its tests must catch" ON)
option(WEFT_WERROR "Treat warnings as errors" OFF)

function(weft_print_summary)
  get_property(summary GLOBAL PROPERTY WEFT_SUMMARY)
  message(STATUS "Weft ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}:"
                 "${summary}")
endfunction()

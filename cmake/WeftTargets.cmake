# The settings that every Weft target shares. A target is made with weft_library() or weft_executable();
# nothing else sets compiler flags.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

option(WEFT_ASSERTIONS "Keep assertions in every build type" OFF)
set(WEFT_SANITIZE "" CACHE STRING "Sanitizers for the whole build, as -fsanitize= takes them")
# The path of a small message crosses many short functions in several libraries: optimised as one it takes about a
# tenth less (docs/results). The objects hold machine code too, so that installed archives suit any linker.
option(WEFT_LTO "Optimise release builds as a whole at link time (GCC)" ON)
find_program(WEFT_CCACHE ccache)
if(WEFT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${WEFT_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${WEFT_CCACHE})
endif()

# weft_link_time_optimization(target): for what is run or loaded; tests are linked as they are, which is faster.
function(weft_link_time_optimization target)
  if(WEFT_LTO AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_link_options(${target} PRIVATE $<$<CONFIG:Release>:-flto=auto>)
  endif()
endfunction()

function(weft_settings target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wno-unused-parameter
                         $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>)
  if(WEFT_LTO AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-flto=auto>
                           $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-ffat-lto-objects>)
  endif()
  if(WEFT_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(WEFT_ASSERTIONS)
    target_compile_options(${target} PRIVATE -UNDEBUG)
  endif()
  # A sanitizer brings its own allocator: what counts or measures the heap must know.
  if(WEFT_SANITIZE)
    target_compile_definitions(${target} PRIVATE WEFT_SANITIZED=1)
    target_compile_options(${target} PRIVATE -fsanitize=${WEFT_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${WEFT_SANITIZE})
  else()
    target_compile_definitions(${target} PRIVATE WEFT_SANITIZED=0)
  endif()
  if(WEFT_FUZZ)
    set(fuzz -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(${target} PRIVATE ${fuzz})
    target_link_options(${target} PRIVATE ${fuzz})
  endif()
endfunction()

# weft_library(name SOURCES a.cc b.cc [DEPENDS other ...] [PRIVATE_DEPENDS lib ...])
function(weft_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  weft_settings(${name})
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS})
  foreach(lib IN LISTS ARG_PRIVATE_DEPENDS)
    target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:${lib}>)
  endforeach()
endfunction()

# weft_executable(name SOURCES a.cc [DEPENDS lib ...])
function(weft_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  weft_settings(${name})
  weft_link_time_optimization(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
endfunction()

# weft_test(name LABEL pure|process|netns|rdma|gpu SOURCES a.cc [DEPENDS lib ...] [TIMEOUT s]): one GoogleTest
# binary, one ctest entry. The binary's own filter splits it further by hand.
function(weft_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPENDS" ${ARGN})
  weft_test_program(${name} SOURCES ${ARG_SOURCES} DEPENDS ${ARG_DEPENDS})
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# weft_test_program(name SOURCES a.cc [DEPENDS lib ...]): a GoogleTest binary that ctest does not know yet.
function(weft_test_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  if(NOT TARGET weft_test_headers)
    # GoogleTest's headers cost more to compile than most tests: once is enough.
    file(WRITE "${PROJECT_BINARY_DIR}/weft_test_headers.cc" "int main() {}\n")
    add_executable(weft_test_headers "${PROJECT_BINARY_DIR}/weft_test_headers.cc")  # as the tests: -fPIE
    weft_settings(weft_test_headers)
    target_link_libraries(weft_test_headers PRIVATE GTest::gmock)
    target_precompile_headers(weft_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h> <string> <vector>)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  weft_settings(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM weft_test_headers)
endfunction()

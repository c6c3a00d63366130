# Run by the target gpu_bundle: copies FILES and the shared libraries they need into BUNDLE, stripped, with a record of
# the commit, and refuses to make a folder too large to be carried.
set(most_bytes 67108864)

if(NOT FILES MATCHES "libnccl-net-weft\\.so")
  message(FATAL_ERROR "This build has no plugin (target nccl-net-weft), and a bundle without it tests nothing.")
endif()

file(REMOVE_RECURSE "${BUNDLE}")
file(MAKE_DIRECTORY "${BUNDLE}/lib")
set(executables)
set(modules)
foreach(path IN LISTS FILES)
  file(COPY "${path}" DESTINATION "${BUNDLE}")
  get_filename_component(name "${path}" NAME)
  execute_process(COMMAND "${STRIP}" --strip-unneeded "${BUNDLE}/${name}" RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${STRIP} failed on ${BUNDLE}/${name}.")
  endif()
  if(name MATCHES "\\.so$")
    list(APPEND modules "${BUNDLE}/${name}")
  else()
    list(APPEND executables "${BUNDLE}/${name}")
  endif()
endforeach()

# The C and C++ run time are the other machine's own: glibc cannot be carried, and a newer libstdc++ runs older programs.
file(GET_RUNTIME_DEPENDENCIES
  EXECUTABLES ${executables} MODULES ${modules}
  RESOLVED_DEPENDENCIES_VAR needed UNRESOLVED_DEPENDENCIES_VAR missing
  PRE_EXCLUDE_REGEXES "^(libc|libm|libdl|librt|libpthread|libstdc\\+\\+|libgcc_s|ld-linux.*|linux-vdso)\\.so")
if(missing)
  message(FATAL_ERROR "These shared libraries were not found: ${missing}.")
endif()
foreach(library IN LISTS needed)
  file(COPY "${library}" DESTINATION "${BUNDLE}/lib" FOLLOW_SYMLINK_CHAIN)
endforeach()

find_package(Git QUIET)
set(commit unknown)
if(Git_FOUND)
  execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${SOURCE}" describe --always --abbrev=40 --dirty --exclude=*
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
file(WRITE "${BUNDLE}/commit.txt" "${commit}\n")
file(WRITE "${BUNDLE}/build.txt" "${BUILD_TYPE}\n")

set(total 0)
file(GLOB_RECURSE files "${BUNDLE}/*")
foreach(path IN LISTS files)
  if(NOT IS_SYMLINK "${path}")
    file(SIZE "${path}" bytes)
    math(EXPR total "${total} + ${bytes}")
  endif()
endforeach()
if(total GREATER most_bytes)
  message(FATAL_ERROR "${BUNDLE} has ${total} bytes; more than ${most_bytes} cannot be carried.")
endif()
message(STATUS "${BUNDLE}: ${total} bytes, commit ${commit}")

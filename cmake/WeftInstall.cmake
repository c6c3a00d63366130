# What `cmake --install` puts where: the public headers, the static libraries, the `weft` command, and the package
# with which another project says find_package(weft) and links weft::weft. The plugin installs itself
# (plugins/nccl_net).
include(CMakePackageConfigHelpers)

# One name for users. Order does not matter: each library names what it needs.
add_library(weft_interface INTERFACE)
set_target_properties(weft_interface PROPERTIES EXPORT_NAME weft)
target_include_directories(weft_interface INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(weft_interface INTERFACE cxx_std_20)
add_library(weft::weft ALIAS weft_interface)

# The libraries behind the public headers. libsodium and zstd are theirs alone, but whoever links a static library links
# what it calls; in the build tree it is a private dependency, which is not exported.
set(weft_public_libraries weft_transport weft_engine weft_engine_config weft_multipath weft_tcp weft_tcp_edge
                          weft_verbs weft_verbs_edge weft_ucx weft_ucx_edge weft_process weft_algorithms weft_bootstrap
                          weft_compression weft_compression_cpu)
target_link_libraries(weft_interface INTERFACE weft_transport weft_algorithms weft_bootstrap)
foreach(library weft_transport weft_tcp weft_tcp_edge weft_verbs weft_verbs_edge weft_ucx weft_ucx_edge weft_bootstrap)
  target_link_libraries(${library} INTERFACE $<INSTALL_INTERFACE:weft::sodium>)
endforeach()
target_link_libraries(weft_compression INTERFACE $<INSTALL_INTERFACE:weft::zstd>)

install(TARGETS weft_interface ${weft_public_libraries} EXPORT weft
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/weft TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(TARGETS weft RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

set(weft_package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/weft")
install(EXPORT weft NAMESPACE weft:: FILE weft-targets.cmake DESTINATION "${weft_package_folder}")
configure_package_config_file(cmake/weft-config.cmake.in "${PROJECT_BINARY_DIR}/weft-config.cmake"
                              INSTALL_DESTINATION "${weft_package_folder}")
# Before 1.0 a minor version may break what the one before it promised.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/weft-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/weft-config.cmake" "${PROJECT_BINARY_DIR}/weft-config-version.cmake"
        DESTINATION "${weft_package_folder}")

# What `cmake --install` puts where: header, libraries, program, CMake package, pkg-config file.
include(CMakePackageConfigHelpers)

install(FILES include/sunup.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS sunup_shared EXPORT sunup-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS sunup_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS sunup RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

set_target_properties(sunup_shared PROPERTIES EXPORT_NAME sunup)
install(EXPORT sunup-targets NAMESPACE sunup:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sunup)
write_basic_package_version_file(sunup-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/sunup-config.cmake ${CMAKE_BINARY_DIR}/sunup-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sunup)
configure_file(cmake/sunup.pc.in sunup.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/sunup.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# oneCCL, whose sums `sunup bench comm` lists beside the others: -DSUNUP_ONECCL=PREFIX, where include/ and lib/ are.
# Its header for C includes <cstddef> and <cstdint>, so C gets headers of these names. Nothing is linked (tools/oneccl.c).
find_path(ONECCL_INCLUDE oneapi/ccl/v2/types.h PATHS ${SUNUP_ONECCL}/include NO_DEFAULT_PATH REQUIRED)
find_file(ONECCL_LIBRARY libccl_legacy_cpu.so PATHS ${SUNUP_ONECCL}/lib NO_DEFAULT_PATH REQUIRED)
get_filename_component(ONECCL_LIB ${ONECCL_LIBRARY} DIRECTORY)
file(WRITE ${CMAKE_BINARY_DIR}/oneccl/cstddef "#include <stddef.h>\n")
file(WRITE ${CMAKE_BINARY_DIR}/oneccl/cstdint "#include <stdint.h>\n")
set_source_files_properties(tools/oneccl.c PROPERTIES
  COMPILE_DEFINITIONS "SUNUP_ONECCL_LIB=\"${ONECCL_LIB}\""
  COMPILE_OPTIONS "-isystem;${CMAKE_BINARY_DIR}/oneccl;-isystem;${ONECCL_INCLUDE}")

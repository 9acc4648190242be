# find_package(sunup): target sunup::sunup, the shared library.
include("${CMAKE_CURRENT_LIST_DIR}/sunup-targets.cmake")

# ONNX: messages by protobuf-c, from the definitions of the distribution (onnx.proto of libonnx-dev), compiled here.
set(onnx_sources ${sources})
list(FILTER onnx_sources INCLUDE REGEX "/model/onnx/")
find_program(PROTOC_C NAMES protoc-c)
find_path(ONNX_PROTO onnx/onnx.proto)
pkg_check_modules(PROTOBUF_C IMPORTED_TARGET libprotobuf-c)
if(PROTOC_C AND ONNX_PROTO AND PROTOBUF_C_FOUND)
  set(onnx_generated ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${onnx_generated})
  set(INCLUDE_model ${onnx_generated})
  add_custom_command(
    OUTPUT ${onnx_generated}/onnx.pb-c.c ${onnx_generated}/onnx.pb-c.h
    COMMAND ${PROTOC_C} --c_out=${onnx_generated} -I${ONNX_PROTO}/onnx ${ONNX_PROTO}/onnx/onnx.proto
    DEPENDS ${ONNX_PROTO}/onnx/onnx.proto)
  target_sources(sunup_model PRIVATE ${onnx_generated}/onnx.pb-c.c)
  set_source_files_properties(${onnx_generated}/onnx.pb-c.c PROPERTIES COMPILE_OPTIONS -w)
  target_include_directories(sunup_model PUBLIC ${onnx_generated})
  list(APPEND LINK_model PkgConfig::PROTOBUF_C)
  target_link_libraries(sunup_model PUBLIC PkgConfig::PROTOBUF_C)
  list(FILTER onnx_sources INCLUDE REGEX "/none\\.c$")
  add_library(sunup_onnx INTERFACE) # this build has it
else()
  message(STATUS "no ONNX: protoc-c, libprotobuf-c or onnx/onnx.proto is missing")
  list(FILTER onnx_sources EXCLUDE REGEX "/none\\.c$")
  list(FILTER tests EXCLUDE REGEX "/onnx_test\\.c$")
endif()
get_target_property(onnx_all sunup_model SOURCES)
list(REMOVE_ITEM onnx_all ${onnx_sources})
set_target_properties(sunup_model PROPERTIES SOURCES "${onnx_all}")

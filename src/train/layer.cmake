# The golden values lie in tests/, outside the house.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/train/loss_test.c ${CMAKE_SOURCE_DIR}/src/train/samples_test.c
                            PROPERTIES INCLUDE_DIRECTORIES ${CMAKE_SOURCE_DIR}/tests)

if(NOT SUNUP_ONEDNN)
  list(FILTER tests EXCLUDE REGEX "/onednn_test\\.c$")
endif()

# What the files of src/kernels need beyond the flags of every folder.
#
#   ref/*.c     plain C, the meaning of each leaf: compiled twice, float and (REAL_F64) double; see ref/real.h
#   simd/*.c    plain C loops, f32: compiled once for each instruction set of isa.def; see simd/simd.h
#   <isa>/*.c   intrinsics, f32: compiled for their instruction set
#
# Each .c file of simd/ and <isa>/ defines one function, FILL(<file name>). The build lists them in <isa>.def, from
# which fill.c makes sunup__kernels_<isa>. So adding a file is adding a file; adding an instruction set is a line in
# isa.def, its flags here, and a folder.
set(ISA_avx2 -mavx2 -mfma)
set(ISA_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mavx2 -mprefer-vector-width=512)

set(ISA_avx512_bf16 ${ISA_avx512} -mavx512bf16)
set(ISA_amx ${ISA_avx512_bf16} -mamx-tile -mamx-bf16)
set(only_own avx512_bf16 amx) # levels for which the loops of simd/ would be the same again

set(here ${CMAKE_SOURCE_DIR}/src/kernels)
file(STRINGS ${here}/isa.def levels REGEX "^ISA\\(")
list(TRANSFORM levels REPLACE "^ISA\\(([a-z0-9_]+),.*" "\\1")
list(JOIN levels "|" any_level)

# A part of the folder in a library of its own, linked wherever sunup_kernels is.
function(kernels_part name)
  add_library(${name} OBJECT ${ARGN})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
  add_dependencies(sunup_kernels ${name})
endfunction()

get_target_property(once sunup_kernels SOURCES)
list(FILTER once EXCLUDE REGEX "/kernels/(simd|${any_level})/|/fill\\.c$")
set_target_properties(sunup_kernels PROPERTIES SOURCES "${once}")

file(GLOB twice CONFIGURE_DEPENDS ${here}/ref/*.c)
list(FILTER twice EXCLUDE REGEX "_(check|test)\\.c$")
kernels_part(sunup_kernels_f64 ${twice})
target_compile_definitions(sunup_kernels_f64 PRIVATE REAL_F64)
list(APPEND BELOW sunup_kernels_f64)

# GCC takes a seventh of the whole build, a third for the loops of simd/ (Emerald Rapids: 13 and 9 s for softmax.c), for
# checks of each pointer that the address's check makes again. The tests wait for ref/ most of their time.
set(fewer_checks "$<$<C_COMPILER_ID:GNU>:-fno-sanitize=null,pointer-overflow,object-size>")
if(SUNUP_SANITIZE)
  set_source_files_properties(${twice} PROPERTIES COMPILE_OPTIONS "${fewer_checks};-O3")
endif()

file(GLOB simd CONFIGURE_DEPENDS ${here}/simd/*.c)
foreach(isa ${levels})
  file(GLOB own CONFIGURE_DEPENDS ${here}/${isa}/*.c)
  set(loops ${simd})
  if(isa IN_LIST only_own)
    set(loops "")
  endif()
  # Clang takes minutes to instrument register tiles; `sunup check` runs them between unreadable pages anyway.
  set_source_files_properties(${own} PROPERTIES COMPILE_OPTIONS
                              "$<$<C_COMPILER_ID:Clang>:-fno-sanitize=all>;${fewer_checks}")
  if(SUNUP_SANITIZE)
    set_source_files_properties(${loops} PROPERTIES COMPILE_OPTIONS "${fewer_checks}")
  endif()
  set(lines "")
  foreach(file ${loops} ${own}) # hand-written files last: they overwrite
    get_filename_component(name ${file} NAME_WE)
    string(APPEND lines "FILES(${name})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/kernels/${isa}.def CONTENT "${lines}")
  kernels_part(sunup_kernels_${isa} ${loops} ${own} ${here}/fill.c)
  target_compile_options(sunup_kernels_${isa} PRIVATE ${ISA_${isa}} -fno-trapping-math -fopenmp-simd
    $<$<C_COMPILER_ID:GNU>:-fno-loop-unroll-and-jam>) # it takes loops over lanes apart: pooling was 20 times slower
  target_compile_definitions(sunup_kernels_${isa} PRIVATE ISA=${isa}
                             FILL_LIST="${CMAKE_BINARY_DIR}/kernels/${isa}.def")
  list(APPEND BELOW sunup_kernels_${isa})
endforeach()

# Warnings are errors in our own code; generated code is compiled without them (see protos.cmake).
add_library(tulle_flags INTERFACE)
target_compile_definitions(tulle_flags INTERFACE _GNU_SOURCE TULLE_VERSION="${PROJECT_VERSION}")
target_compile_options(tulle_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Werror $<$<NOT:$<CONFIG:Release>>:-fno-omit-frame-pointer> -fstack-protector-strong
  $<$<COMPILE_LANGUAGE:C>:-Wconversion -Wstrict-prototypes -Wmissing-prototypes>)
target_include_directories(tulle_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
# "rep stos" takes 30 cycles to begin; a request clears a few structs of 100 to 1,500 bytes.
include(CheckCCompilerFlag)
check_c_compiler_flag(-mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign COMPILER_HAS_MEMSET_STRATEGY)
if(COMPILER_HAS_MEMSET_STRATEGY)
  target_compile_options(tulle_flags INTERFACE
    $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:C>>:-mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign>)
endif()

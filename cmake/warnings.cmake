# Warnings are errors in our own code; generated code is compiled without them (see protos.cmake).
add_library(tulle_flags INTERFACE)
target_compile_definitions(tulle_flags INTERFACE _GNU_SOURCE TULLE_VERSION="${PROJECT_VERSION}")
target_compile_options(tulle_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Werror -fno-omit-frame-pointer -fstack-protector-strong
  $<$<COMPILE_LANGUAGE:C>:-Wconversion -Wstrict-prototypes -Wmissing-prototypes>)
target_include_directories(tulle_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)

# proto/**.proto -> C structs by protoc-c, in build/<preset>/gen; include as "envoy/config/core/v3/core.pb-c.h".
# Google's well-known types come from /usr/include, where protobuf keeps them.
file(GLOB_RECURSE PROTO_FILES CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/proto ${PROJECT_SOURCE_DIR}/proto/*.proto)
set(WELL_KNOWN any duration empty field_mask struct timestamp wrappers)
list(TRANSFORM WELL_KNOWN REPLACE "(.+)" "google/protobuf/\\1.proto")
set(PROTO_INCLUDES -I ${PROJECT_SOURCE_DIR}/proto -I /usr/include)
set(GEN_DIR ${CMAKE_BINARY_DIR}/gen)
file(MAKE_DIRECTORY ${GEN_DIR})

set(GEN_SOURCES)
set(PROTO_PATHS)
foreach(proto IN LISTS PROTO_FILES WELL_KNOWN ITEMS google/protobuf/descriptor.proto)
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  set(path ${PROJECT_SOURCE_DIR}/proto/${proto})
  if(NOT EXISTS ${path})
    set(path /usr/include/${proto})
  endif()
  add_custom_command(
    OUTPUT ${GEN_DIR}/${stem}.pb-c.c ${GEN_DIR}/${stem}.pb-c.h
    COMMAND protoc-c --c_out=${GEN_DIR} ${PROTO_INCLUDES} ${proto}
    DEPENDS ${path}
    VERBATIM)
  list(APPEND GEN_SOURCES ${GEN_DIR}/${stem}.pb-c.c)
  list(APPEND PROTO_PATHS ${path})
endforeach()

add_library(tulle_proto STATIC ${GEN_SOURCES})
target_link_libraries(tulle_proto PUBLIC PkgConfig::PROTOBUF_C)
target_include_directories(tulle_proto SYSTEM PUBLIC ${GEN_DIR})
target_compile_options(tulle_proto PRIVATE -w)

# What protobuf-c's descriptors lack: tools/proto_tables.cc makes tables of it for src/pb.
pkg_check_modules(PROTOBUF REQUIRED IMPORTED_TARGET protobuf)
set(HOST_DIR ${CMAKE_BINARY_DIR}/host)
file(MAKE_DIRECTORY ${HOST_DIR}/tulle)
add_custom_command(
  OUTPUT ${HOST_DIR}/tulle/options.pb.cc ${HOST_DIR}/tulle/options.pb.h
  COMMAND protoc --cpp_out=${HOST_DIR} ${PROTO_INCLUDES} tulle/options.proto
  DEPENDS ${PROJECT_SOURCE_DIR}/proto/tulle/options.proto
  VERBATIM)
add_executable(proto_tables ${PROJECT_SOURCE_DIR}/tools/proto_tables.cc ${HOST_DIR}/tulle/options.pb.cc)
set_target_properties(proto_tables PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${HOST_DIR} INTERPROCEDURAL_OPTIMIZATION OFF)
target_include_directories(proto_tables SYSTEM PRIVATE ${HOST_DIR})
target_link_libraries(proto_tables PRIVATE PkgConfig::PROTOBUF)
# It runs while we build, beside a libprotobuf that knows no sanitizer.
target_compile_options(proto_tables PRIVATE -Wall -Wextra -Wshadow -fno-sanitize=all -O1)
target_link_options(proto_tables PRIVATE -fno-sanitize=all)

add_custom_command(
  OUTPUT ${HOST_DIR}/pb_tables.c ${HOST_DIR}/pb_docs.c
  COMMAND protoc --include_imports --include_source_info --descriptor_set_out=${HOST_DIR}/protos.set ${PROTO_INCLUDES} ${PROTO_FILES} ${WELL_KNOWN}
  COMMAND proto_tables ${HOST_DIR}/protos.set ${HOST_DIR}/pb_tables.c ${HOST_DIR}/pb_docs.c
  DEPENDS ${PROTO_PATHS} proto_tables
  BYPRODUCTS ${HOST_DIR}/protos.set
  VERBATIM)
set(PROTO_TABLES ${HOST_DIR}/pb_tables.c ${HOST_DIR}/pb_docs.c)

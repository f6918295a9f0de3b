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

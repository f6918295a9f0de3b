# proto/**.proto -> C structs by protoc-c, in build/<preset>/gen; include as "envoy/config/core/v3/base.pb-c.h".
file(GLOB_RECURSE PROTO_FILES CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/proto ${PROJECT_SOURCE_DIR}/proto/*.proto)
set(GEN_DIR ${CMAKE_BINARY_DIR}/gen)
set(GEN_SOURCES)
foreach(proto IN LISTS PROTO_FILES)
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  add_custom_command(
    OUTPUT ${GEN_DIR}/${stem}.pb-c.c ${GEN_DIR}/${stem}.pb-c.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${GEN_DIR}
    COMMAND protoc-c --c_out=${GEN_DIR} -I ${PROJECT_SOURCE_DIR}/proto -I /usr/include ${proto}
    DEPENDS ${PROJECT_SOURCE_DIR}/proto/${proto}
    VERBATIM)
  list(APPEND GEN_SOURCES ${GEN_DIR}/${stem}.pb-c.c)
endforeach()
if(GEN_SOURCES)
  add_library(tulle_proto STATIC ${GEN_SOURCES})
  target_link_libraries(tulle_proto PUBLIC PkgConfig::PROTOBUF_C)
  target_include_directories(tulle_proto SYSTEM PUBLIC ${GEN_DIR})
else()
  add_library(tulle_proto INTERFACE)
endif()

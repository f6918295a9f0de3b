# What puts load on our programs from outside, as build/<preset>/load/NAME: built of our own rooms, driven by tests/e2e.
add_executable(xds_streams tests/load/xds_streams.c)
set_target_properties(xds_streams PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/load)
target_link_libraries(xds_streams PRIVATE tulle_flags room_xds)

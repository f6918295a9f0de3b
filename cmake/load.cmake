# What puts load on our programs from outside, as build/<preset>/load/NAME, driven by tests/e2e.
add_executable(xds_streams tests/load/xds_streams.c)
target_link_libraries(xds_streams PRIVATE tulle_flags room_xds)

# Mixed requests, every byte of them checked: these share no line with the proxies between them.
set(MIXED tests/load/mixed)
add_executable(mixed_client ${MIXED}/client.c ${MIXED}/client_h1.c ${MIXED}/client_h2.c ${MIXED}/ask.c ${MIXED}/message.c
                            ${MIXED}/poller.c ${MIXED}/h2_pump.c)
add_executable(mixed_server ${MIXED}/server.c ${MIXED}/server_h1.c ${MIXED}/server_h2.c ${MIXED}/ask.c ${MIXED}/message.c
                            ${MIXED}/poller.c ${MIXED}/h2_pump.c)
target_link_libraries(mixed_client PRIVATE tulle_flags PkgConfig::NGHTTP2)
target_link_libraries(mixed_server PRIVATE tulle_flags PkgConfig::NGHTTP2)

set_target_properties(xds_streams mixed_client mixed_server PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/load)

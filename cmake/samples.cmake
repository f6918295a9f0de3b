# The samples' C programs, as build/<preset>/samples/NAME: ordinary programs, without what the rooms are built with.
find_package(Threads REQUIRED)
foreach(sample stock product)
  add_executable(sample_${sample} ${PROJECT_SOURCE_DIR}/samples/shop/${sample}.c)
  set_target_properties(sample_${sample} PROPERTIES OUTPUT_NAME ${sample} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/samples)
  target_link_libraries(sample_${sample} PRIVATE Threads::Threads)
endforeach()

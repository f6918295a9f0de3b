#include "cli/run/output.h"

#include "base/buffer.h"
#include "io/loop.h"

#include "test.h"

#include <unistd.h>

TEST(lines_go_to_the_file_whole)
{
    char path[] = "/tmp/tulle-output-XXXXXX";
    struct loop *loop;
    struct output *output;
    owned_buffer text = {0};
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &loop) == 0);
    struct output_options options = {.name = "web", .path = path, .is_quiet = true};
    CHECK(output_create(loop, &options, &output) == 0);
    CHECK(write(output_fd(output), "one\ntw", 6) == 6);
    loop_turn(loop, 100);
    CHECK(write(output_fd(output), "o", 1) == 1);
    output_destroy(output); /* takes what is still in the pipe */
    CHECK(buffer_read_file(&text, path, 1000) == 0 && buffer_equals(&text, "one\ntwo"));
    loop_settle(loop);
    loop_destroy(loop);
    unlink(path);
}

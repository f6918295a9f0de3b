#include "io/interfaces.h"

#include "io/loop.h"
#include "io/private_network.h"
#include "io/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool is_local(struct interfaces *interfaces, const char *text)
{
    struct address address;
    CHECK(address_parse_ip(slice_str(text), 1, &address), "%s", text);
    return interfaces_are_local(interfaces, &address);
}

TEST(interfaces_know_what_is_local)
{
    struct loop *loop = loop_for_test();
    struct interfaces *interfaces;
    CHECK(interfaces_create(loop, &interfaces) == 0, "-");
    CHECK(interfaces_count(interfaces) > 0, "at least loopback");
    CHECK(is_local(interfaces, "127.0.0.1") && is_local(interfaces, "127.9.9.9"), "-");
    CHECK(is_local(interfaces, "::1") && is_local(interfaces, "::ffff:127.0.0.1"), "-");
    CHECK(is_local(interfaces, "0.0.0.0") && is_local(interfaces, "::"), "-");
    CHECK(!is_local(interfaces, "192.0.2.1") && !is_local(interfaces, "2001:db8::1"), "-");
    for (size_t i = 0; i < interfaces_count(interfaces); i++) {
        struct address address = interfaces_get(interfaces, i);
        CHECK(interfaces_are_local(interfaces, &address), "-");
    }
    interfaces_destroy(interfaces);
    loop_destroy(loop);
}

TEST(interfaces_of_a_simulation_are_what_they_are_told)
{
    struct loop *loop;
    struct loop_options options = {.backend = LOOP_SIM, .seed = 1};
    struct interfaces *interfaces;
    CHECK(loop_create(&options, &loop) == 0, "-");
    CHECK(interfaces_create(loop, &interfaces) == 0, "-");
    CHECK(is_local(interfaces, "127.0.0.1") && !is_local(interfaces, "10.0.0.1"), "-");
    struct address address = address_v4(0x0a000001, 0);
    interfaces_add(interfaces, &address);
    CHECK(is_local(interfaces, "10.0.0.1") && is_local(interfaces, "::ffff:10.0.0.1"), "-");
    interfaces_destroy(interfaces);
    loop_destroy(loop);
}

TEST(interfaces_follow_changes)
{
    private_network_or_skip();
    struct loop *loop = loop_for_test();
    struct interfaces *interfaces;
    CHECK(interfaces_create(loop, &interfaces) == 0, "-");
    CHECK(!is_local(interfaces, "10.9.8.7") && !is_local(interfaces, "fd09::8"), "-");
    CHECK(system("ip addr add 10.9.8.7/24 dev lo; ip addr add fd09::8/64 dev lo") == 0, "-");
    WAIT_FOR(loop, is_local(interfaces, "10.9.8.7") && is_local(interfaces, "fd09::8"));
    CHECK(is_local(interfaces, "::ffff:10.9.8.7"), "-");
    CHECK(system("ip addr del 10.9.8.7/24 dev lo") == 0, "-");
    WAIT_FOR(loop, !is_local(interfaces, "10.9.8.7"));
    CHECK(is_local(interfaces, "fd09::8"), "-");

    /* Another namespace counts as well once it is added, and is followed too. */
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", home);
    CHECK(unshare(CLONE_NEWNET) == 0, "-");
    struct interfaces *outside;
    CHECK(interfaces_create(loop, &outside) == 0, "-");
    CHECK(!is_local(outside, "fd09::8"), "-");
    CHECK(interfaces_add_namespace(outside, path) == 0, "-");
    CHECK(interfaces_add_namespace(outside, path) == 0, "twice is once");
    CHECK(is_local(outside, "fd09::8"), "-");
    CHECK(setns(home, CLONE_NEWNET) == 0, "-");
    CHECK(system("ip addr add 10.9.8.6/24 dev lo") == 0, "-");
    WAIT_FOR(loop, is_local(outside, "10.9.8.6") && is_local(interfaces, "10.9.8.6"));
    CHECK(interfaces_add_namespace(outside, "/no/such/file") == -ENOENT, "-");
    interfaces_destroy(outside);
    close(home);
    interfaces_destroy(interfaces);
    loop_destroy(loop);
}

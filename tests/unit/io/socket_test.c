#include "io/socket.h"

#include "io/conn.h"
#include "io/listener.h"
#include "io/private_network.h"
#include "io/waiting.h"

#include <errno.h>
#include <unistd.h>

static const char redirect_rules[] = "nft -f - <<'END'\n"
                                     "table inet test {\n"
                                     "  chain output {\n"
                                     "    type nat hook output priority -100; policy accept;\n"
                                     "    tcp dport 81 redirect to :15001\n"
                                     "  }\n"
                                     "}\n"
                                     "END\n";

static int accepted;
static struct address original;
static int original_error;

static void on_accept(void *owner, int fd, const struct address *peer)
{
    (void)owner, (void)peer;
    original_error = socket_original_destination(fd, &original);
    accepted++;
    close(fd);
}

static void check_original(struct loop *loop, const char *to, const char *listener, bool redirected)
{
    struct listen_options options = {0};
    struct listen_group *group;
    struct acceptor *acceptor;
    struct address address;
    CHECK(address_parse(slice_str(listener), &options.address), "-");
    CHECK(address_parse(slice_str(to), &address), "-");
    CHECK(listen_group_create(&options, &group) == 0, "%s", listener);
    CHECK(acceptor_create(loop, listen_group_fd(group, 0), on_accept, NULL, &acceptor) == 0, "-");
    accepted = 0;
    int client = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(client, &address.any, address.size) == 0, "%s", to);
    WAIT_FOR(loop, accepted == 1);
    if (redirected) {
        CHECK(original_error == 0, "%s by %s: %d", to, listener, original_error);
        CHECK(address_equals(&original, &address), "%s by %s", to, listener);
    } else {
        /* Conntrack knows the connection and says where it went anyhow, or does not know it. */
        CHECK(original_error == -ENOENT || address_equals(&original, &address), "%s: %d", to,
              original_error);
    }
    close(client);
    acceptor_destroy(acceptor);
    loop_turn(loop, 0);
    listen_group_destroy(group);
}

/* The proxy's own question: where did a redirected connection want to go? One dual-stack listener serves both. */
TEST(socket_knows_the_original_destination_of_both_families)
{
    private_network_or_skip();
    struct loop *loop = loop_for_test();
    check_original(loop, "127.0.0.1:15001", "[::]:15001", false);
    if (system(redirect_rules)) {
        print_message("no nft here: not tested\n");
        loop_destroy(loop);
        skip();
    }
    check_original(loop, "127.0.0.1:81", "127.0.0.1:15001", true);
    check_original(loop, "127.0.0.1:81", "[::]:15001", true);
    check_original(loop, "[::1]:81", "[::]:15001", true);
    loop_destroy(loop);
}

TEST(socket_original_destination_of_a_unix_socket_is_none)
{
    int fds[2];
    struct address none;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "-");
    CHECK(socket_original_destination(fds[0], &none) == -ENOENT, "-");
    close(fds[0]);
    close(fds[1]);
}

/* With IP_TRANSPARENT an address of somebody else can be bound: the client's towards the application. */
TEST(socket_transparent_binds_a_foreign_address)
{
    private_network_or_skip();
    static const char *const foreign[] = {"192.0.2.7:0", "[2001:db8::7]:0"};
    EACH (text, foreign) {
        struct address address;
        CHECK(address_parse(slice_str(*text), &address), "-");
        int fd = socket_open(&address, SOCK_STREAM);
        CHECK(bind(fd, &address.any, address.size) < 0 && errno == EADDRNOTAVAIL, "%s", *text);
        CHECK(socket_set_transparent(fd, &address) == 0, "%s", *text);
        CHECK(bind(fd, &address.any, address.size) == 0, "%s", *text);
        struct address local = socket_local_address(fd);
        CHECK(address_equals_ip(&local, &address), "%s", *text);
        close(fd);
    }
}

TEST(socket_cookies_differ)
{
    struct address like = address_v4(INADDR_LOOPBACK, 0);
    int one = socket_open(&like, SOCK_STREAM), two = socket_open(&like, SOCK_STREAM);
    CHECK(socket_cookie(one) != 0 && socket_cookie(one) != socket_cookie(two), "-");
    CHECK(socket_cookie(one) == socket_cookie(one), "-");
    close(one);
    close(two);
}

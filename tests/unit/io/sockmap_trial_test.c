#include "base/memory.h"
#include "io/sockmap_internal.h"
#include "test.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sockmap *load_or_skip(void)
{
    struct sockmap *sockmap = NULL;
    owned_error error = {0};
    if (sockmap_load(NULL, 0, &sockmap, &error))
        return sockmap;
    owned_str text = error_text(&error, true);
    print_message("SKIPPED, the kernel or our rights refuse: %s\n", text);
    skip();
    return NULL;
}

static void fails_with(struct sockmap *sockmap, const char *why)
{
    owned_error error = {0};
    CHECK(!sockmap_try(sockmap, &error), "%s", why);
    CHECK(strstr(error.what, why) != NULL, "\"%s\" does not say \"%s\"", error.what, why);
}

TEST(sockmap_trial_can_be_repeated)
{
    owned(sockmap) sockmap = load_or_skip();
    owned_error error = {0};
    CHECK(sockmap_try(sockmap, &error) && sockmap_try(sockmap, &error), "%s", error.what);
}

TEST(sockmap_trial_sees_that_nothing_is_paired)
{
    owned(sockmap) sockmap = load_or_skip();
    close(sockmap->links[--sockmap->link_count]);
    fails_with(sockmap, "is not paired");
}

TEST(sockmap_trial_sees_that_messages_go_by_tcp)
{
    owned(sockmap) sockmap = load_or_skip();
    union bpf_attr attributes = {.target_fd = (uint32_t)sockmap->sockets,
                                 .attach_bpf_fd = (uint32_t)sockmap->at_send,
                                 .attach_type = BPF_SK_MSG_VERDICT};
    CHECK(syscall(SYS_bpf, BPF_PROG_DETACH, &attributes, sizeof(attributes)) == 0);
    fails_with(sockmap, "do not take the short cut");
}

TEST(sockmap_trial_sees_that_a_listener_cannot_be_claimed)
{
    owned(sockmap) sockmap = load_or_skip();
    close(sockmap->records);
    sockmap->records = -1;
    fails_with(sockmap, "cannot be claimed");
}

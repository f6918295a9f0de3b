#include "base/memory.h"
#include "io/sockmap_internal.h"
#include "test.h"

#include <linux/btf.h>

#include <string.h>

/* struct { int rmem_alloc at 16 } in struct sock at 320; icsk_ulp_ops at 1000 of inet_connection_sock. */
struct types {
    struct btf_header header;
    struct btf_type integer;
    uint32_t encoding;
    struct btf_type backlog;
    struct btf_member allocated;
    struct btf_type socket;
    struct btf_member of_socket, room;
    struct btf_type connection;
    struct btf_member layer;
    char names[76];
};

static const char names[] =
    "\0int\0sock\0sk_backlog\0rmem_alloc\0inet_connection_sock\0icsk_ulp_ops\0sk_rcvbuf";
enum { INT = 1, SOCK = 5, BACKLOG = 10, ALLOCATED = 21, CONNECTION = 32, LAYER = 53, ROOM = 66 };
enum { ONE_MEMBER = BTF_KIND_STRUCT << 24 | 1, TWO_MEMBERS = BTF_KIND_STRUCT << 24 | 2 };

static struct types whole(void)
{
    struct types types = {
        .header = {.magic = BTF_MAGIC,
                   .version = BTF_VERSION,
                   .hdr_len = sizeof(types.header),
                   .type_len = sizeof(types) - sizeof(types.header) - sizeof(types.names),
                   .str_off = sizeof(types) - sizeof(types.header) - sizeof(types.names),
                   .str_len = sizeof(types.names)},
        .integer = {.name_off = INT, .info = BTF_KIND_INT << 24, .size = 4},
        .encoding = 32,
        .backlog = {.info = ONE_MEMBER, .size = 32},
        .allocated = {.name_off = ALLOCATED, .type = 1, .offset = 16 * 8},
        .socket = {.name_off = SOCK, .info = TWO_MEMBERS, .size = 800},
        .of_socket = {.name_off = BACKLOG, .type = 2, .offset = 320 * 8},
        .room = {.name_off = ROOM, .type = 1, .offset = 200 * 8},
        .connection = {.name_off = CONNECTION, .info = ONE_MEMBER, .size = 1400},
        .layer = {.name_off = LAYER, .type = 1, .offset = 1000 * 8},
    };
    _Static_assert(sizeof(names) <= sizeof(types.names), "fits");
    memcpy(types.names, names, sizeof(names));
    return types;
}

TEST(sockmap_types_finds_what_a_socket_has_received)
{
    struct types types = whole();
    struct sockmap_offsets offsets = {0};
    CHECK(sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
    CHECK(offsets.received == 336 && offsets.room == 200 && offsets.layer == 1000);
}

TEST(sockmap_types_refuses_what_is_cut_anywhere)
{
    struct types types = whole();
    for (size_t size = 0; size < sizeof(types); size++) {
        struct sockmap_offsets offsets;
        char *cut = mem_alloc(size + 1);
        memcpy(cut, &types, size);
        CHECK(!sockmap_offsets_find(cut, size, &offsets), "%zu bytes", size);
        mem_free(cut);
    }
}

TEST(sockmap_types_refuses_what_no_instruction_reaches)
{
    struct sockmap_offsets offsets;
    struct types types = whole();
    types.of_socket.offset = (INT16_MAX - 15) * 8;
    CHECK(!sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
    types = whole();
    types.room.offset = (INT16_MAX + 1) * 8;
    CHECK(!sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
    types = whole();
    types.layer.offset = (INT16_MAX + 1) * 8;
    CHECK(!sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
}

TEST(sockmap_types_refuses_unknown_kinds_and_foreign_files)
{
    struct sockmap_offsets offsets;
    struct types types = whole();
    types.integer.info = 31u << 24;
    CHECK(!sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
    types = whole();
    types.header.magic = 0;
    CHECK(!sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
    types = whole();
    types.of_socket.type = 9;
    CHECK(!sockmap_offsets_find((const char *)&types, sizeof(types), &offsets));
}

TEST(sockmap_types_says_which_file_is_missing)
{
    owned_error error = {0};
    struct sockmap_offsets offsets;
    CHECK(!sockmap_offsets_read("/nowhere/vmlinux", &offsets, &error));
    CHECK(strstr(error.what, "/nowhere/vmlinux") != NULL);
}

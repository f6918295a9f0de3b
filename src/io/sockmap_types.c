#include "base/memory.h"
#include "base/slice.h"
#include "io/sockmap_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's own is 5 to 8 MB. */
enum { TYPES_MAX = 64 << 20 };

struct types {
    const char *at, *end; /* the types */
    const char *names;
    size_t names_size;
};

/* One type and what follows it: members, of a struct. */
struct type {
    struct btf_type head;
    const char *members;
};

static bool open_types(const char *bytes, size_t size, struct types *types)
{
    struct btf_header header;
    if (size < sizeof(header))
        return false;
    memcpy(&header, bytes, sizeof(header));
    size_t rest = header.hdr_len <= size ? size - header.hdr_len : 0;
    if (header.magic != BTF_MAGIC || header.hdr_len < sizeof(header) || header.type_off > rest ||
        header.type_len > rest - header.type_off || header.str_off > rest ||
        header.str_len > rest - header.str_off)
        return false;
    *types = (struct types){.at = bytes + header.hdr_len + header.type_off,
                            .names = bytes + header.hdr_len + header.str_off,
                            .names_size = header.str_len};
    types->end = types->at + header.type_len;
    return true;
}

static bool is_named(const struct types *types, uint32_t name, const char *wanted)
{
    size_t size = strlen(wanted) + 1;
    return name < types->names_size && size <= types->names_size - name &&
           memcmp(types->names + name, wanted, size) == 0;
}

/* What follows a type's head; SIZE_MAX for a kind that we do not know. */
static size_t tail_size(const struct btf_type *head)
{
    size_t count = BTF_INFO_VLEN(head->info);
    switch (BTF_INFO_KIND(head->info)) {
    case BTF_KIND_PTR:
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_FUNC:
    case BTF_KIND_FLOAT:
    case BTF_KIND_TYPE_TAG: return 0;
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG: return 4;
    case BTF_KIND_ARRAY: return sizeof(struct btf_array);
    case BTF_KIND_ENUM:
    case BTF_KIND_FUNC_PROTO: return 8 * count;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_DATASEC:
    case 19 /* BTF_KIND_ENUM64, since Linux 6.0 */: return 12 * count;
    default: return SIZE_MAX;
    }
}

static bool next_type(struct types *types, struct type *type)
{
    size_t left = (size_t)(types->end - types->at);
    if (left < sizeof(type->head))
        return false;
    memcpy(&type->head, types->at, sizeof(type->head));
    size_t tail = tail_size(&type->head);
    if (tail > left - sizeof(type->head))
        return false;
    type->members = types->at + sizeof(type->head);
    types->at = type->members + tail;
    return true;
}

/* Bytes from the struct's start, and the member's type. */
static bool find_member(const struct types *types, const struct type *type, const char *name,
                        uint32_t *offset, uint32_t *id)
{
    for (size_t i = 0; i < BTF_INFO_VLEN(type->head.info); i++) {
        struct btf_member member;
        memcpy(&member, type->members + i * sizeof(member), sizeof(member));
        if (!is_named(types, member.name_off, name))
            continue;
        uint32_t bits =
            BTF_INFO_KFLAG(type->head.info) ? BTF_MEMBER_BIT_OFFSET(member.offset) : member.offset;
        *offset = bits / 8;
        *id = member.type;
        return true;
    }
    return false;
}

static bool find_struct(struct types types, const char *name, struct type *found)
{
    while (next_type(&types, found))
        if (BTF_INFO_KIND(found->head.info) == BTF_KIND_STRUCT &&
            is_named(&types, found->head.name_off, name))
            return true;
    return false;
}

/* Types count from 1. */
static bool find_type(struct types types, uint32_t id, struct type *found)
{
    for (uint32_t at = 1; next_type(&types, found); at++)
        if (at == id)
            return BTF_INFO_KIND(found->head.info) == BTF_KIND_STRUCT;
    return false;
}

bool sockmap_offsets_find(const char *bytes, size_t size, struct sockmap_offsets *offsets)
{
    struct types types;
    struct type type;
    uint32_t backlog, received, room, layer, id, unused;
    if (!open_types(bytes, size, &types) || !find_struct(types, "sock", &type) ||
        !find_member(&types, &type, "sk_rcvbuf", &room, &unused) ||
        !find_member(&types, &type, "sk_backlog", &backlog, &id) || !find_type(types, id, &type) ||
        !find_member(&types, &type, "rmem_alloc", &received, &unused) ||
        !find_struct(types, "inet_connection_sock", &type) ||
        !find_member(&types, &type, "icsk_ulp_ops", &layer, &unused))
        return false;
    /* An instruction holds 15 bits of an offset. */
    if (received > INT16_MAX || backlog > INT16_MAX - received || room > INT16_MAX ||
        layer > INT16_MAX)
        return false;
    *offsets =
        (struct sockmap_offsets){.received = backlog + received, .room = room, .layer = layer};
    return true;
}

/* sysfs tells the size and gives pages. */
static char *read_whole(const char *path, size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) || status.st_size <= 0 || status.st_size > TYPES_MAX) {
        close(fd);
        errno = EFBIG;
        return NULL;
    }
    char *bytes = mem_alloc((size_t)status.st_size);
    size_t got = 0;
    ssize_t part = 1;
    while (part > 0 && got < (size_t)status.st_size) {
        part = read(fd, bytes + got, (size_t)status.st_size - got);
        got += part > 0 ? (size_t)part : 0;
    }
    close(fd);
    *size = got;
    return bytes;
}

bool sockmap_offsets_read(const char *path, struct sockmap_offsets *offsets, struct error *error)
{
    size_t size = 0;
    char *bytes = read_whole(path, &size);
    if (!bytes)
        return error_set(error, "TUL1239", "the kernel's type information is missing: %s: %s", path,
                         strerror(errno));
    bool is_found = sockmap_offsets_find(bytes, size, offsets);
    mem_free(bytes);
    return is_found || error_set(error, "TUL1239",
                                 "the kernel's type information (%s) does not tell where a socket "
                                 "counts what it has received",
                                 path);
}

#include "io/sockmap.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "io/sockmap_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char types_path[] = "/sys/kernel/btf/vmlinux";

static int bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
    int result = (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
    return result < 0 ? -errno : result;
}

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* --- maps ------------------------------------------------------------------------------------ */

/* What sits with a socket must be described: an int for the key, so many of them for the record. */
static int describe_record(void)
{
    const struct {
        struct btf_header header;
        struct btf_type whole;
        uint32_t whole_encoding;
        struct btf_type array;
        struct btf_array of;
        char names[8];
    } types = {
        .header = {.magic = BTF_MAGIC,
                   .version = BTF_VERSION,
                   .hdr_len = sizeof(types.header),
                   .type_len = sizeof(types) - sizeof(types.header) - sizeof(types.names),
                   .str_off = sizeof(types) - sizeof(types.header) - sizeof(types.names),
                   .str_len = sizeof(types.names)},
        .whole = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = sizeof(uint32_t)},
        .whole_encoding = 32,
        .array = {.info = BTF_KIND_ARRAY << 24},
        .of = {.type = 1,
               .index_type = 1,
               .nelems = sizeof(struct sockmap_record) / sizeof(uint32_t)},
        .names = "\0int\0\0\0",
    };
    union bpf_attr attributes = {.btf = address_of(&types), .btf_size = sizeof(types)};
    return bpf(BPF_BTF_LOAD, &attributes);
}

static int make_records(void)
{
    int description = describe_record();
    if (description < 0)
        return description;
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_SK_STORAGE,
                                 .key_size = sizeof(int),
                                 .value_size = sizeof(struct sockmap_record),
                                 .map_flags = BPF_F_NO_PREALLOC | BPF_F_CLONE,
                                 .btf_fd = (uint32_t)description,
                                 .btf_key_type_id = 1,
                                 .btf_value_type_id = 2};
    int map = bpf(BPF_MAP_CREATE, &attributes);
    close(description);
    return map;
}

static int make_map(enum bpf_map_type type, size_t key, size_t value, unsigned most, unsigned flags)
{
    union bpf_attr attributes = {.map_type = type,
                                 .key_size = (uint32_t)key,
                                 .value_size = (uint32_t)value,
                                 .max_entries = most,
                                 .map_flags = flags};
    return bpf(BPF_MAP_CREATE, &attributes);
}

static int make_maps(struct sockmap *sockmap)
{
    sockmap->records = make_records();
    sockmap->networks = make_map(BPF_MAP_TYPE_HASH, sizeof(uint64_t), sizeof(uint32_t),
                                 SOCKMAP_NAMESPACES_MAX, BPF_F_NO_PREALLOC);
    sockmap->counts =
        make_map(BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct sockmap_counts), 1, 0);
    sockmap->ends = make_map(BPF_MAP_TYPE_HASH, sizeof(struct sockmap_key),
                             sizeof(struct sockmap_end), SOCKMAP_ENDS_MAX, BPF_F_NO_PREALLOC);
    sockmap->sockets = make_map(BPF_MAP_TYPE_SOCKHASH, sizeof(struct sockmap_key), sizeof(uint32_t),
                                SOCKMAP_ENDS_MAX, 0);
    const int maps[] = {sockmap->records, sockmap->networks, sockmap->counts, sockmap->ends,
                        sockmap->sockets};
    for (size_t i = 0; i < COUNT(maps); i++)
        if (maps[i] < 0)
            return maps[i];
    return 0;
}

/* --- programs -------------------------------------------------------------------------------- */

static int load_program(enum bpf_prog_type type, enum bpf_attach_type attach,
                        const struct bpf_insn *instructions, size_t count, char *log, size_t size)
{
    union bpf_attr attributes = {.prog_type = type,
                                 .expected_attach_type = attach,
                                 .insns = address_of(instructions),
                                 .insn_cnt = (uint32_t)count,
                                 .license = address_of("Dual BSD/GPL"),
                                 .log_level = 1,
                                 .log_size = (uint32_t)size,
                                 .log_buf = address_of(log)};
    memcpy(attributes.prog_name, "tulle", sizeof("tulle"));
    return bpf(BPF_PROG_LOAD, &attributes);
}

/* The verifier's last words, in one line. */
static const char *last_line(char *log)
{
    char *line = log + strlen(log);
    while (line > log && (line[-1] == '\n' || strncmp(line, "processed", 9) == 0)) {
        *--line = '\0';
        while (line > log && line[-1] != '\n')
            line--;
    }
    return line;
}

static bool load_programs(struct sockmap *sockmap, struct error *error)
{
    struct sockmap_offsets offsets;
    struct bpf_insn instructions[SOCKMAP_INSTRUCTIONS_MAX];
    enum { LOG_BYTES = 256 * 1024 };
    if (!sockmap_offsets_read(types_path, &offsets, error))
        return false;
    owned_str log = mem_calloc(1, LOG_BYTES);
    size_t count = sockmap_program_establish(sockmap, instructions);
    sockmap->at_establish = load_program(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, instructions,
                                         count, log, LOG_BYTES);
    if (sockmap->at_establish < 0)
        return error_set(error, "TUL1239",
                         "the kernel refuses the program for new connections: %s: %s",
                         strerror(-sockmap->at_establish), last_line(log));
    count = sockmap_program_send(sockmap, &offsets, instructions);
    sockmap->at_send =
        load_program(BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT, instructions, count, log, LOG_BYTES);
    if (sockmap->at_send < 0)
        return error_set(error, "TUL1239", "the kernel refuses the program for messages: %s: %s",
                         strerror(-sockmap->at_send), last_line(log));
    union bpf_attr attributes = {.target_fd = (uint32_t)sockmap->sockets,
                                 .attach_bpf_fd = (uint32_t)sockmap->at_send,
                                 .attach_type = BPF_SK_MSG_VERDICT};
    int failure = bpf(BPF_PROG_ATTACH, &attributes);
    return failure == 0 ||
           error_set(error, "TUL1239", "the kernel refuses the program for messages: %s",
                     strerror(-failure));
}

/* --- cgroups --------------------------------------------------------------------------------- */

/* Where the second hierarchy is mounted, and which of its groups is ours. */
static char *own_cgroup(void)
{
    char line[4096], mount[2048] = "", group[2048] = "";
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && fgets(line, sizeof(line), file)) {
        const char *type = strstr(line, " - cgroup2 ");
        if (type && sscanf(line, "%*s %*s %*s %*s %2047s", mount) == 1)
            break;
    }
    if (file)
        fclose(file);
    file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "0::%2047s", group) == 1)
            break;
    if (file)
        fclose(file);
    return mount[0] && group[0] ? str_format("%s%s", mount, group) : NULL;
}

static bool attach(struct sockmap *sockmap, const char *path, struct error *error)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return error_set(error, "TUL1239", "cgroup %s: %s", path, strerror(errno));
    union bpf_attr attributes = {.link_create = {.prog_fd = (uint32_t)sockmap->at_establish,
                                                 .target_fd = (uint32_t)folder,
                                                 .attach_type = BPF_CGROUP_SOCK_OPS}};
    int link = bpf(BPF_LINK_CREATE, &attributes);
    close(folder);
    if (link < 0)
        return error_set(error, "TUL1239", "the kernel refuses the program for cgroup %s: %s", path,
                         strerror(-link));
    sockmap->links[sockmap->link_count++] = link;
    return true;
}

/* --- life ------------------------------------------------------------------------------------ */

static struct sockmap *sockmap_new(void)
{
    struct sockmap *sockmap = mem_new(struct sockmap);
    *sockmap = (struct sockmap){.records = -1,
                                .networks = -1,
                                .counts = -1,
                                .ends = -1,
                                .sockets = -1,
                                .at_establish = -1,
                                .at_send = -1};
    return sockmap;
}

static bool load_all(struct sockmap *sockmap, const char *const *cgroups, size_t count,
                     struct error *error)
{
    int failure = make_maps(sockmap);
    if (failure)
        return error_set(error, "TUL1239", "the kernel refuses the maps: %s", strerror(-failure));
    if (!load_programs(sockmap, error))
        return false;
    owned_str own = own_cgroup();
    if (!own)
        return error_set(error, "TUL1239", "no cgroup2 is mounted here, or we are in none");
    if (!attach(sockmap, own, error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!attach(sockmap, cgroups[i], error))
            return false;
    return true;
}

bool sockmap_load(const char *const *cgroups, size_t count, struct sockmap **out,
                  struct error *error)
{
    owned(sockmap) sockmap = sockmap_new();
    if (count > SOCKMAP_CGROUPS_MAX)
        return error_set(error, "TUL1239", "%zu cgroups are more than %d", count,
                         SOCKMAP_CGROUPS_MAX);
    if (!load_all(sockmap, cgroups, count, error)) {
        error_fix(error, "it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON of the host, a kernel "
                         "with sockmap and type information, and cgroup2");
        return false;
    }
    if (!sockmap_try(sockmap, error))
        return false;
    *out = give(sockmap);
    return true;
}

void sockmap_fds(const struct sockmap *sockmap, int fds[SOCKMAP_FDS])
{
    fds[0] = sockmap->records;
    fds[1] = sockmap->networks;
    fds[2] = sockmap->counts;
}

static bool is_map(int fd, enum bpf_map_type type, size_t value)
{
    struct bpf_map_info map = {0};
    union bpf_attr attributes = {
        .info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(map), .info = address_of(&map)}};
    return fd >= 0 && bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) == 0 && map.type == type &&
           map.value_size == value;
}

bool sockmap_adopt(const int fds[SOCKMAP_FDS], struct sockmap **out, struct error *error)
{
    if (!is_map(fds[0], BPF_MAP_TYPE_SK_STORAGE, sizeof(struct sockmap_record)) ||
        !is_map(fds[1], BPF_MAP_TYPE_HASH, sizeof(uint32_t)) ||
        !is_map(fds[2], BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct sockmap_counts)))
        return error_set(error, "TUL1239", "descriptors %d, %d and %d are not of a sockmap", fds[0],
                         fds[1], fds[2]);
    struct sockmap *sockmap = sockmap_new();
    sockmap->records = fds[0];
    sockmap->networks = fds[1];
    sockmap->counts = fds[2];
    for (size_t i = 0; i < SOCKMAP_FDS; i++)
        (void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    *out = sockmap;
    return true;
}

void sockmap_destroy(struct sockmap *sockmap)
{
    if (!sockmap)
        return;
    for (size_t i = 0; i < sockmap->link_count; i++)
        close(sockmap->links[i]);
    const int fds[] = {sockmap->at_send,  sockmap->at_establish, sockmap->sockets, sockmap->ends,
                       sockmap->networks, sockmap->counts,       sockmap->records};
    for (size_t i = 0; i < COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    mem_free(sockmap);
}

/* --- use ------------------------------------------------------------------------------------- */

static int update(int map, const void *key, const void *value)
{
    union bpf_attr attributes = {
        .map_fd = (uint32_t)map, .key = address_of(key), .value = address_of(value)};
    return bpf(BPF_MAP_UPDATE_ELEM, &attributes);
}

static int look_up(int map, const void *key, void *value)
{
    union bpf_attr attributes = {
        .map_fd = (uint32_t)map, .key = address_of(key), .value = address_of(value)};
    return bpf(BPF_MAP_LOOKUP_ELEM, &attributes);
}

/* One line of "0-3,8" counts the CPUs that may ever be; each has its own numbers. */
static unsigned possible_cpus(void)
{
    char text[256] = "";
    unsigned last = 0;
    FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
    if (file && fgets(text, sizeof(text), file)) {
        const char *number = text + strcspn(text, "\n");
        while (number > text && isdigit((unsigned char)number[-1]))
            number--;
        last = (unsigned)strtoul(number, NULL, 10);
    }
    if (file)
        fclose(file);
    return last + 1;
}

static int network_of(int fd, uint64_t *cookie)
{
    socklen_t size = sizeof(*cookie);
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) ? -errno : 0;
}

int sockmap_serve(struct sockmap *sockmap, int fd)
{
    uint64_t cookie;
    uint32_t served = 1;
    int failure = network_of(fd, &cookie);
    return failure ? failure : update(sockmap->networks, &cookie, &served);
}

/* Also forgets what was counted. */
int sockmap_start_over(struct sockmap *sockmap, int fd)
{
    uint64_t cookie;
    uint32_t key = 0;
    int failure = network_of(fd, &cookie);
    if (failure)
        return failure;
    union bpf_attr attributes = {.map_fd = (uint32_t)sockmap->networks, .key = address_of(&cookie)};
    failure = bpf(BPF_MAP_DELETE_ELEM, &attributes);
    owned_str zeros = mem_calloc(possible_cpus(), sizeof(struct sockmap_counts));
    return failure ? failure : update(sockmap->counts, &key, zeros);
}

int sockmap_claim(struct sockmap *sockmap, int fd)
{
    struct sockmap_record record = {.is_claimed = 1};
    return update(sockmap->records, &fd, &record);
}

bool sockmap_holds(const struct sockmap *sockmap, int fd)
{
    struct sockmap_record record;
    return look_up(sockmap->records, &fd, &record) == 0 && record.has_joined;
}

int sockmap_count(const struct sockmap *sockmap, struct sockmap_counts *counts)
{
    enum { NUMBERS = sizeof(*counts) / sizeof(uint64_t) };
    unsigned cpus = possible_cpus();
    uint32_t key = 0;
    uint64_t sums[NUMBERS] = {0};
    uint64_t *each = mem_calloc(cpus, sizeof(*counts));
    int failure = look_up(sockmap->counts, &key, each);
    for (size_t i = 0; !failure && i < (size_t)cpus * NUMBERS; i++)
        sums[i % NUMBERS] += each[i];
    mem_free(each);
    if (!failure)
        memcpy(counts, sums, sizeof(*counts));
    return failure;
}

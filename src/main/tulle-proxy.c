/* tulle-proxy: the data plane. */
#include "base/log.h"
#include "base/slice.h"
#include "proxy/process.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64 };

enum flag {
    FLAG_MODE = 256,
    FLAG_CONCURRENCY,
    FLAG_STATE,
    FLAG_DRAIN,
    FLAG_MAX_MEMORY,
    FLAG_MAX_CONNECTIONS,
    FLAG_MARK,
    FLAG_CA_ADDRESS,
    FLAG_CA_ROOT,
    FLAG_TOKEN_FD,
    FLAG_TOKEN_FILE,
    FLAG_DNS,
    FLAG_NETWORK_NAMESPACE,
    FLAG_IO,
    FLAG_SOCKMAP,
    FLAG_SOCKMAP_FDS,
    FLAG_LOG_FORMAT,
    FLAG_VERSION,
};

static const struct option flags[] = {
    {"config-path", required_argument, NULL, 'c'},
    {"log-level", required_argument, NULL, 'l'},
    {"help", no_argument, NULL, 'h'},
    {"mode", required_argument, NULL, FLAG_MODE},
    {"concurrency", required_argument, NULL, FLAG_CONCURRENCY},
    {"state-directory", required_argument, NULL, FLAG_STATE},
    {"drain-time-s", required_argument, NULL, FLAG_DRAIN},
    {"max-memory", required_argument, NULL, FLAG_MAX_MEMORY},
    {"max-connections", required_argument, NULL, FLAG_MAX_CONNECTIONS},
    {"upstream-mark", required_argument, NULL, FLAG_MARK},
    {"ca-address", required_argument, NULL, FLAG_CA_ADDRESS},
    {"ca-root", required_argument, NULL, FLAG_CA_ROOT},
    {"token-fd", required_argument, NULL, FLAG_TOKEN_FD},
    {"token-file", required_argument, NULL, FLAG_TOKEN_FILE},
    {"dns-address", required_argument, NULL, FLAG_DNS},
    {"network-namespace", required_argument, NULL, FLAG_NETWORK_NAMESPACE},
    {"io", required_argument, NULL, FLAG_IO},
    {"sockmap", optional_argument, NULL, FLAG_SOCKMAP},
    {"sockmap-fds", required_argument, NULL, FLAG_SOCKMAP_FDS},
    {"log-format", required_argument, NULL, FLAG_LOG_FORMAT},
    {"version", no_argument, NULL, FLAG_VERSION},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    printf("tulle-proxy: the data plane of Tulle.\n\n"
           "  tulle-proxy -c envoy.yaml                   serve an Envoy "
           "bootstrap file\n"
           "  tulle-proxy -c envoy.yaml --mode validate   check it and exit\n\n"
           "  -c, --config-path FILE       Envoy bootstrap, YAML or JSON: static "
           "resources, ADS or both\n"
           "      --mode serve|validate    validate: say what is wrong with the "
           "file and exit (serve)\n"
           "      --concurrency N          worker threads (as many as CPUs may "
           "be used)\n"
           "  -l, --log-level LEVEL        trace, debug, info, warning, error, "
           "critical or off (info)\n"
           "      --log-format text|json   of log lines on stderr (text)\n"
           "      --drain-time-s N         from SIGTERM to the end with requests "
           "still open (5)\n"
           "      --max-memory SIZE        of memory that peers drive: 64M, 1G "
           "(no limit)\n"
           "      --max-connections N      from clients at once, UDP sessions too (half of "
           "the files that it may open)\n"
           "      --state-directory DIR    keep the last good configuration "
           "here, for starts without a control plane\n"
           "      --upstream-mark N        SO_MARK of upstream sockets, which "
           "capture rules leave alone\n"
           "      --ca-address HOST:PORT   ask here for the workload's "
           "certificate (Istio's CSR service)\n"
           "      --ca-root FILE           PEM that the CA's own certificate is "
           "verified by\n"
           "      --token-fd N             read a one-time token from this "
           "descriptor\n"
           "      --token-file FILE        or a token from this file, read anew "
           "each time\n"
           "      --dns-address HOST:PORT  answer names of the mesh here, over "
           "UDP and TCP\n"
           "      --network-namespace FILE where --dns-address is\n"
           "      --io auto|epoll|io_uring how workers move bytes; also by TULLE_IO (auto)\n"
           "      --sockmap[=CGROUP]       short cut past TCP to applications on this host, of our "
           "cgroup and of CGROUP (repeatable)\n"
           "      --sockmap-fds N,N,N      the same by what `tulle run` has loaded\n"
           "      --version                say which version this is\n"
           "  -h, --help                   this text\n");
}

static int misused(const char *format, const char *what)
{
    fprintf(stderr, "error TUL1005: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "\nfix: tulle-proxy --help\n");
    return EXIT_USAGE;
}

static bool read_number(const char *text, uint64_t most, uint64_t *number)
{
    return slice_to_u64(slice_str(text), most, number);
}

/* 64M, 1G, 4096. */
static bool read_size(const char *text, size_t *size)
{
    struct slice digits = slice_str(text);
    unsigned shift = 0;
    uint64_t number;
    if (digits.size > 0) {
        switch (digits.data[digits.size - 1]) {
        case 'K':
        case 'k': shift = 10; break;
        case 'M':
        case 'm': shift = 20; break;
        case 'G':
        case 'g': shift = 30; break;
        default: break;
        }
    }
    digits.size -= shift ? 1 : 0;
    if (!slice_to_u64(digits, UINT64_MAX >> shift, &number))
        return false;
    *size = (size_t)(number << shift);
    return true;
}

static int read_sockmap(const char *cgroup, struct process_options *options)
{
    options->wants_sockmap = true;
    if (!cgroup)
        return -1;
    if (options->sockmap_cgroup_count == SOCKMAP_CGROUPS_MAX)
        return misused("--sockmap=%s is one cgroup too many", cgroup);
    options->sockmap_cgroups[options->sockmap_cgroup_count++] = cgroup;
    return -1;
}

/* -1: go on; else the exit code. */
static int read_flag(int flag, struct process_options *options)
{
    uint64_t number = 0;
    enum log_level level;
    switch (flag) {
    case 'c': options->config_path = optarg; return -1;
    case 'h': print_help(); return EXIT_SUCCESS;
    case 'l':
        if (!log_level_of(optarg, &level))
            return misused("there is no log level \"%s\"", optarg);
        log_set_level(NULL, level);
        return -1;
    case FLAG_MODE:
        options->validate_only = strcmp(optarg, "validate") == 0;
        return options->validate_only || strcmp(optarg, "serve") == 0
                   ? -1
                   : misused("there is no mode \"%s\"", optarg);
    case FLAG_CONCURRENCY:
        if (!read_number(optarg, 256, &number) || number == 0)
            return misused("--concurrency is a number from 1 to 256, not \"%s\"", optarg);
        options->concurrency = (unsigned)number;
        return -1;
    case FLAG_DRAIN:
        if (!read_number(optarg, 86400, &number))
            return misused("--drain-time-s is a number of seconds, not \"%s\"", optarg);
        options->drain_s = (uint32_t)number;
        return -1;
    case FLAG_MAX_MEMORY:
        return read_size(optarg, &options->max_memory)
                   ? -1
                   : misused("--max-memory is a size such as 64M, not \"%s\"", optarg);
    case FLAG_MAX_CONNECTIONS:
        if (!read_number(optarg, UINT32_MAX, &number) || number == 0)
            return misused("--max-connections is a number above 0, not \"%s\"", optarg);
        options->max_connections = (uint32_t)number;
        return -1;
    case FLAG_MARK:
        if (!read_number(optarg, UINT32_MAX, &number))
            return misused("--upstream-mark is a number, not \"%s\"", optarg);
        options->upstream_mark = (uint32_t)number;
        return -1;
    case FLAG_TOKEN_FD:
        if (!read_number(optarg, 1 << 20, &number))
            return misused("--token-fd is a descriptor's number, not \"%s\"", optarg);
        options->token_fd = (int)number;
        return -1;
    case FLAG_IO:
        return process_io_of(optarg, &options->io)
                   ? -1
                   : misused("--io is auto, epoll or io_uring, not \"%s\"", optarg);
    case FLAG_SOCKMAP: return read_sockmap(optarg, options);
    case FLAG_SOCKMAP_FDS:
        options->sockmap_fds = optarg;
        options->wants_sockmap = true;
        return -1;
    case FLAG_STATE: options->state_directory = optarg; return -1;
    case FLAG_CA_ADDRESS: options->ca_address = optarg; return -1;
    case FLAG_CA_ROOT: options->ca_root_path = optarg; return -1;
    case FLAG_TOKEN_FILE: options->token_path = optarg; return -1;
    case FLAG_DNS: options->dns_address = optarg; return -1;
    case FLAG_NETWORK_NAMESPACE: options->network_namespace = optarg; return -1;
    case FLAG_LOG_FORMAT:
        log_set_json(strcmp(optarg, "json") == 0);
        return strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0
                   ? -1
                   : misused("there is no log format \"%s\"", optarg);
    case FLAG_VERSION: printf("tulle-proxy %s\n", TULLE_VERSION); return EXIT_SUCCESS;
    default: return misused("%s", "the command line was not understood");
    }
}

int main(int argc, char **argv)
{
    struct process_options options = {.token_fd = -1};
    const char *io = getenv("TULLE_IO");
    int flag;
    if (io && *io && !process_io_of(io, &options.io))
        return misused("TULLE_IO is auto, epoll or io_uring, not \"%s\"", io);
    while ((flag = getopt_long(argc, argv, "c:l:h", flags, NULL)) != -1) {
        int code = read_flag(flag, &options);
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return misused("\"%s\" is not a flag", argv[optind]);
    if (!options.config_path)
        return misused("%s", "-c FILE is missing: which configuration?");
    return process_run(&options);
}

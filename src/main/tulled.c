/* tulled: the control plane. */
#include "base/log.h"
#include "base/memory.h"
#include "base/program.h"
#include "base/slice.h"
#include "control/monitor/monitor.h"
#include "control/process.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64 };

enum flag {
    FLAG_DATA = 256,
    FLAG_CONFIG_DIR,
    FLAG_XDS_PORT,
    FLAG_XDS_TLS_PORT,
    FLAG_XDS_ADDRESS,
    FLAG_API_PORT,
    FLAG_MONITORING_PORT,
    FLAG_MONITORING_ADDRESS,
    FLAG_TRUST_DOMAIN,
    FLAG_REGISTRY_ONLY,
    FLAG_ACCESS_LOG,
    FLAG_LOG_FORMAT,
    FLAG_VERSION,
};

static const struct option flags[] = {
    {"data", required_argument, NULL, FLAG_DATA},
    {"config-dir", required_argument, NULL, FLAG_CONFIG_DIR},
    {"xds-port", required_argument, NULL, FLAG_XDS_PORT},
    {"xds-tls-port", required_argument, NULL, FLAG_XDS_TLS_PORT},
    {"xds-address", required_argument, NULL, FLAG_XDS_ADDRESS},
    {"api-port", required_argument, NULL, FLAG_API_PORT},
    {"monitoring-port", required_argument, NULL, FLAG_MONITORING_PORT},
    {"monitoring-address", required_argument, NULL, FLAG_MONITORING_ADDRESS},
    {"trust-domain", required_argument, NULL, FLAG_TRUST_DOMAIN},
    {"registry-only", no_argument, NULL, FLAG_REGISTRY_ONLY},
    {"access-log", required_argument, NULL, FLAG_ACCESS_LOG},
    {"log-level", required_argument, NULL, 'l'},
    {"log-format", required_argument, NULL, FLAG_LOG_FORMAT},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, FLAG_VERSION},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    printf(
        "tulled: the control plane of Tulle.\n\n"
        "  tulled --data /var/lib/tulle                       the API, xDS and a CA of its own\n"
        "  tulled --data /var/lib/tulle --config-dir mesh/    and what the YAML of mesh/ says\n\n"
        "      --data DIR             what must survive: store, keys, sockets (required)\n"
        "      --config-dir DIR       import the YAML files of this directory; may be repeated\n"
        "      --trust-domain NAME    of every identity (cluster.local)\n"
        "      --xds-port N           xDS in plaintext on 127.0.0.1, without secrets; 0: off "
        "(15010)\n"
        "      --xds-tls-port N       xDS and certificates over TLS (15012)\n"
        "      --xds-address IP       where the latter listens (127.0.0.1)\n"
        "      --api-port N           the Kubernetes-style API on 127.0.0.1; 0: any (6443)\n"
        "      --monitoring-port N    metrics and readiness over HTTP; 0: off (15014)\n"
        "      --monitoring-address IP  where those are served (127.0.0.1)\n"
        "      --registry-only        proxies refuse destinations that the mesh does not know\n"
        "      --access-log FILE      where proxies log requests, such as /dev/stdout (nowhere)\n"
        "  -l, --log-level LEVEL      trace, debug, info, warning, error, critical or off (info)\n"
        "      --log-format text|json of log lines on stderr (text)\n"
        "  -h, --help                 this text\n"
        "      --version              of this program\n");
}

/* Returns false, so that whoever reads a flag can return it. */
static bool misused(const char *format, const char *what)
{
    fprintf(stderr, "error TUL1005: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "\nfix: tulled --help\n");
    return false;
}

static bool read_port(const char *text, uint16_t *port)
{
    uint64_t number;
    if (!slice_to_u64(slice_str(text), UINT16_MAX, &number))
        return misused("a port is a number up to 65535, not \"%s\"", text);
    *port = (uint16_t)number;
    return true;
}

static bool read_log_flag(int flag, const char *text)
{
    enum log_level level;
    if (flag == 'l' && log_level_of(text, &level)) {
        log_set_level(NULL, level);
        return true;
    }
    if (flag == FLAG_LOG_FORMAT && (strcmp(text, "json") == 0 || strcmp(text, "text") == 0)) {
        log_set_json(text[0] == 'j');
        return true;
    }
    return misused(flag == 'l' ? "there is no log level \"%s\"" : "there is no log format \"%s\"",
                   text);
}

static bool read_flag(struct control_options *options, int flag)
{
    switch (flag) {
    case FLAG_DATA: options->data = optarg; return true;
    case FLAG_CONFIG_DIR:
        if (options->directory_count == CONFIG_DIRECTORIES_MAX)
            return misused("there are too many directories at %s", optarg);
        options->directories[options->directory_count++] = optarg;
        return true;
    case FLAG_XDS_PORT: return read_port(optarg, &options->xds_port);
    case FLAG_XDS_TLS_PORT: return read_port(optarg, &options->xds_tls_port);
    case FLAG_API_PORT: return read_port(optarg, &options->api_port);
    case FLAG_MONITORING_PORT: return read_port(optarg, &options->monitoring_port);
    case FLAG_MONITORING_ADDRESS: options->monitoring_address = optarg; return true;
    case FLAG_XDS_ADDRESS: options->xds_address = optarg; return true;
    case FLAG_TRUST_DOMAIN: options->trust_domain = optarg; return true;
    case FLAG_REGISTRY_ONLY: options->registry_only = true; return true;
    case FLAG_ACCESS_LOG: options->access_log = optarg; return true;
    case 'l':
    case FLAG_LOG_FORMAT: return read_log_flag(flag, optarg);
    default: return misused("%s", "the command line was not understood");
    }
}

int main(int argc, char **argv)
{
    struct control_options options = {.trust_domain = "cluster.local",
                                      .xds_address = "127.0.0.1",
                                      .xds_port = 15010,
                                      .xds_tls_port = 15012,
                                      .api_port = 6443,
                                      .monitoring_address = "127.0.0.1",
                                      .monitoring_port = MONITOR_PORT};
    int flag;
    while ((flag = getopt_long(argc, argv, "l:h", flags, NULL)) != -1) {
        if (flag == 'h') {
            print_help();
            return EXIT_SUCCESS;
        }
        if (flag == FLAG_VERSION) {
            printf("tulled %s\n", TULLE_VERSION);
            return EXIT_SUCCESS;
        }
        if (!read_flag(&options, flag))
            return EXIT_USAGE;
    }
    if (optind < argc || !options.data) {
        (void)(optind < argc ? misused("\"%s\" is not a flag", argv[optind])
                             : misused("%s", "--data DIR is missing: where is the store?"));
        return EXIT_USAGE;
    }
    program_raise_open_files();
    owned_error error = {0};
    if (control_process_run(&options, &error))
        return EXIT_SUCCESS;
    owned_str text = error_text(&error, false);
    fprintf(stderr, "%s\n", text);
    return EXIT_FAILURE;
}

#include "base/buffer.h"
#include "cli/capture.h"
#include "cli/command.h"
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

static int act(const struct command *command, const char *verb, const struct capture *capture)
{
    owned_buffer rules = {0};
    struct error error = {0};
    if (strcmp(verb, "off") == 0)
        capture_removal(&rules);
    else
        capture_rules(capture, &rules);
    if (strcmp(verb, "show") == 0) {
        fputs(rules.data, stdout);
        return EXIT_GOOD;
    }
    if (strcmp(verb, "on") != 0 && strcmp(verb, "off") != 0)
        return command_misused(command, "capture is on, off or show, not \"%s\"", verb);
    return capture_apply(&rules, &error) ? EXIT_GOOD : command_fail(&error, EXIT_FAILED);
}

static int capture(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct capture wanted = {.inbound = true};
    bool keeps_inbound = false;
    const struct flag flags[] = {
        {0, "uid", "UID", "the proxy's user, exempt from capture", &wanted.exempt_uid, NULL},
        {0, "skip-inbound", "PORTS", "inbound ports left alone, such as 22,15020",
         &wanted.skip_inbound, NULL},
        {0, "skip-outbound", "PORTS", "outbound ports left alone", &wanted.skip_outbound, NULL},
        {0, "skip-ranges", "CIDRS", "destinations left alone, such as 10.0.0.0/8",
         &wanted.skip_ranges, NULL},
        {0, "dns", NULL, "send port 53 to the sidecar on 15053", NULL, &wanted.dns},
        {0, "outbound-only", NULL, "leave what arrives alone", NULL, &keeps_inbound},
    };
    int code;
    if (!command_options(command, &options, flags, COUNT(flags), &argc, argv, &code))
        return code;
    if (argc != 1)
        return command_misused(command, "capture needs one word: on, off or show");
    wanted.inbound = !keeps_inbound;
    struct error error = {0};
    if (!capture_check(&wanted, &error))
        return command_fail(&error, EXIT_USAGE);
    return act(command, argv[0], &wanted);
}

const struct command command_capture = {
    .name = "capture",
    .group = GROUP_MACHINES,
    .words = "on|off|show",
    .summary = "Send this host's traffic through its sidecar, by nftables",
    .examples = "  tulle capture show --uid 1337\n  sudo tulle capture on --uid 1337 "
                "--skip-inbound 22 --dns",
    .help =
        "All rules live in one table, inet tulle; `on` replaces it in one transaction and "
        "`off` removes it. Whatever runs as the exempt user goes past the sidecar; UDP other than "
        "names, ICMP and SCTP do, too. While no sidecar runs, what is turned to it fails.",
    .run = capture,
};

#include "base/clock.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/demo_check.h"
#include "cli/print.h"
#include "cli/run/runner.h"
#include "cli/run/session.h"

#include <stdio.h>
#include <string.h>

enum { TURN_MS = 200 };

static unsigned published(const struct session *session, const char *service)
{
    for (size_t i = 0; i < session->spec.instance_count; i++)
        if (strcmp(session->spec.instances[i].service, service) == 0)
            return session->spec.instances[i].publish;
    return 0;
}

static void print_next(const struct session *session, uint64_t took_us)
{
    printf("\n   A mesh of %u services is up after %.2fs.\n"
           "   Shop  http://127.0.0.1:%u     What the load sees  http://127.0.0.1:%u/window     "
           "Stop  Ctrl-C\n\n"
           "   What to try next, in another terminal:\n"
           "     tulle stat                                         success, latency and mTLS of "
           "each service\n"
           "     tulle get virtualservice product -o yaml           the canary: 90 %% to v1, 10 %% "
           "to v2\n"
           "     tulle get vs product -o yaml | sed 's/weight: 90/weight: 50/; s/weight: "
           "10/weight: 50/' | tulle apply -f -\n"
           "     tulle proxy status                                 what each sidecar runs\n"
           "     KUBECONFIG=%s/kubeconfig kubectl get vs,dr,workloadentries\n",
           runner_sidecars(session->runner), (double)took_us / 1e6, published(session, "web"),
           published(session, "load"), session->data);
    fflush(stdout);
}

static int serve(struct session *session, uint64_t began_us)
{
    print_next(session, clock_now_us() - began_us);
    while (!session->is_interrupted)
        runner_turn(session->runner, TURN_MS);
    return EXIT_GOOD;
}

static int start(const struct options *options, const char *file, bool checks)
{
    struct session session;
    struct error error = {0};
    uint64_t began = clock_now_us();
    struct session_options how = {.options = options,
                                  .file = file,
                                  .name = "demo",
                                  .is_quiet = true,
                                  .is_passing = true,
                                  .is_silent = options->quiet || print_wants_document(options)};
    int code = EXIT_FAILED;
    if (session_start(&session, &how, &error))
        code = checks ? demo_check(&session, published(&session, "load"), options, &error)
                      : serve(&session, began);
    else if (session.is_interrupted)
        code = EXIT_INTERRUPTED;
    session_end(&session);
    return error_is_set(&error) ? command_fail(&error, code) : code;
}

static int demo(const struct command *command, int argc, char **argv)
{
    bool checks = false;
    const struct flag flags[] = {
        {0, "check", NULL, "shift the canary under load by itself, and judge", NULL, &checks}};
    struct options options;
    int code;
    if (!command_options(command, &options, flags, COUNT(flags), &argc, argv, &code))
        return code;
    if (argc > 0)
        return command_misused(command, "demo takes no words");
    owned_str file = session_sample("shop/tulle.yaml");
    if (!file) {
        struct error error = {0};
        error_set(&error, "TUL1218", "the samples are nowhere near this program");
        error_fix(&error, "run it from a clone: make demo");
        return command_fail(&error, EXIT_FAILED);
    }
    return start(&options, file, checks);
}

const struct command command_demo = {
    .name = "demo",
    .group = GROUP_START,
    .words = "[--check]",
    .takes = TAKES_OUTPUT,
    .summary = "A real mesh on this machine, with something to try",
    .examples = "  tulle demo                     a shop of six services, a canary and load\n"
                "  tulle demo --check -o json     shift the canary, kill the control plane, judge; "
                "exit 1 when anything is off",
    .help = "Nothing is left behind after Ctrl-C.",
    .run = demo,
};

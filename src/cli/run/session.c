#include "cli/run/session.h"

#include "base/memory.h"
#include "cli/api.h"
#include "cli/run/folder.h"
#include "cli/run/ports.h"
#include "cli/run/runner.h"
#include "io/loop.h"
#include "io/signal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_signal(void *owner, int signal, pid_t sender)
{
    struct session *session = owner;
    (void)signal;
    (void)sender;
    session->is_interrupted = true;
}

static void on_step(void *owner, const char *step, const char *text, uint64_t took_us)
{
    struct session *session = owner;
    if (session->is_silent)
        return;
    printf(" %s %-16s %-68s %.2fs\n", options_want_unicode() ? "✓" : "ok", step, text,
           (double)took_us / 1e6);
    fflush(stdout);
}

/* A port that somebody else has is replaced by the next free one, said aloud. */
static bool free_ports(struct session *session, struct error *error)
{
    for (size_t i = 0; i < session->spec.instance_count; i++) {
        struct spec_instance *instance = &session->spec.instances[i];
        uint16_t wanted = instance->publish;
        if (wanted == 0)
            continue;
        instance->publish = port_free("127.0.0.1", wanted);
        for (size_t j = 0; j < i; j++)
            if (instance->publish && session->spec.instances[j].publish == instance->publish)
                instance->publish = port_free("127.0.0.1", (uint16_t)(instance->publish + 1));
        if (instance->publish == 0)
            return error_set(error, "TUL1216", "no port from %u on is free for %s", wanted,
                             instance->name);
        if (instance->publish != wanted)
            fprintf(stderr, "note: port %u is in use; %s is published on %u instead\n", wanted,
                    instance->name, instance->publish);
    }
    return true;
}

char *session_sample(const char *path)
{
    owned_str programs = folder_of_program();
    static const char *const places[] = {"../../../samples", "../share/tulle/samples",
                                         "../samples"};
    for (size_t i = 0; i < COUNT(places); i++) {
        owned_str candidate = str_format("%s/%s/%s", programs, places[i], path);
        if (access(candidate, R_OK) == 0)
            return give(candidate);
    }
    return NULL;
}

bool session_start(struct session *session, const struct session_options *options,
                   struct error *error)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, 0};
    owned_str home = api_home();
    *session = (struct session){.is_silent = options->is_silent};
    if (!spec_read(&session->spec, options->file, error) || !free_ports(session, error))
        return false;
    int failure = loop_create(&(struct loop_options){.name = "run"}, &session->loop);
    if (!failure)
        failure =
            signal_watch_create(session->loop, signals, on_signal, session, &session->signals);
    if (failure)
        return error_set(error, "TUL1217", "cannot make a loop: %s", strerror(-failure));
    session->data = str_format("%s/%s", home, options->name ? options->name : session->spec.mesh);
    session->programs = folder_of_program();
    session->samples = str_format("%s/../samples", session->programs);
    struct runner_options runner = {.options = options->options,
                                    .spec = &session->spec,
                                    .data = session->data,
                                    .programs = session->programs,
                                    .samples = session->samples,
                                    .is_quiet = options->is_quiet,
                                    .is_passing = options->is_passing,
                                    .on_step = on_step,
                                    .owner = session,
                                    .is_interrupted = &session->is_interrupted};
    return runner_start(session->loop, &runner, &session->runner, error);
}

void session_end(struct session *session)
{
    runner_stop(session->runner);
    signal_watch_destroy(session->signals);
    if (session->loop)
        loop_settle(session->loop);
    loop_destroy(session->loop);
    mem_free(session->data);
    mem_free(session->programs);
    mem_free(session->samples);
    spec_fini(&session->spec);
}

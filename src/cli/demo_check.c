#include "cli/demo_check.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/vector.h"
#include "cli/api.h"
#include "cli/exit_code.h"
#include "cli/fetch.h"
#include "cli/metrics.h"
#include "cli/print.h"
#include "cli/run/place.h"
#include "cli/run/runner.h"
#include "cli/run/session.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PHASE_MS = 8000, SETTLE_MS = 10000, AWAY_MS = 2000, TURN_MS = 20, FETCH_MS = 3000 };

struct phase {
    const char *name;
    int v1, v2;
    bool kills; /* the control plane, in the middle */
    /* what was seen */
    double requests, failures, seen_v1, seen_v2, other, p50, p90, p99;
    double switch_requests, switch_failures, settled_ms, mtls;
    const char *verdict; /* NULL: good */
    char *reason;        /* of the first failure, or NULL */
};
struct check {
    struct session *session;
    struct error *error;
    char *load, *web_admin;
    struct golden golden;
};

bool split_is_fair(double n, double all, double share)
{
    static const double z = 3.2905; /* two-sided 99.9 % of the normal distribution */
    if (share <= 0 || share >= 1)
        return fabs(n - all * share) < 0.5;
    return fabs(n - all * share) <= z * sqrt(all * share * (1 - share)) + 0.5;
}

static void pass(struct check *check, unsigned ms)
{
    uint64_t until = clock_now_us() + ms * UINT64_C(1000);
    while (clock_now_us() < until && !check->session->is_interrupted)
        runner_turn(check->session->runner, TURN_MS);
}

/* --- the canary --------------------------------------------------------------------------------------------------- */

static bool set_weights(struct check *check, int v1, int v2)
{
    struct api *api = runner_api(check->session->runner);
    owned_str path =
        str_format("/apis/networking.istio.io/v1beta1/namespaces/%s/virtualservices/product",
                   check->session->spec.name_space);
    json_t *object = NULL;
    if (!api_json(api, "GET", path, NULL, &object, NULL, check->error))
        return false;
    json_t *http = json_array_get(json_object_get(json_object_get(object, "spec"), "http"), 0);
    json_t *route = json_array_get(http ? json_object_get(http, "route") : NULL, 0);
    json_t *other = json_array_get(http ? json_object_get(http, "route") : NULL, 1);
    bool is_good = route && other;
    if (!is_good)
        error_set(check->error, "TUL1219", "VirtualService product has no longer two routes");
    if (is_good) {
        json_object_set_new(route, "weight", json_integer(v1));
        json_object_set_new(other, "weight", json_integer(v2));
        is_good = api_json(api, "PUT", path, object, NULL, NULL, check->error);
    }
    json_decref(object);
    return is_good;
}

/* The weight of a cluster named in an object, or of the lone cluster of a route (100). */
static void read_weight(const json_t *object, const char *part, int *weight)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    const char *lone = json_string_value(json_object_get(object, "cluster"));
    const json_t *said = json_object_get(object, "weight");
    if (name && said && strstr(name, part))
        *weight = (int)(json_is_integer(said) ? json_integer_value(said)
                                              : json_integer_value(json_object_get(said, "value")));
    else if (lone && strstr(lone, part))
        *weight = 100;
}

/* Walks what a sidecar says it runs, with a stack of its own. */
static void find_weights(const json_t *root, int *v1, int *v2)
{
    VECTOR(const json_t *) open = {0};
    vector_push(&open, root);
    *v1 = *v2 = 0;
    while (open.count > 0) {
        const json_t *at = open.items[--open.count];
        const char *key;
        json_t *child;
        size_t i;
        if (json_is_object(at)) {
            read_weight(at, "|v1|product.", v1);
            read_weight(at, "|v2|product.", v2);
            json_object_foreach((json_t *)(uintptr_t)at, key, child) vector_push(&open, child);
        }
        json_array_foreach(at, i, child) vector_push(&open, child);
    }
    vector_fini(&open);
}

static bool is_settled(struct check *check, int v1, int v2)
{
    owned_buffer dump = {0};
    int seen_v1, seen_v2;
    if (fetch(check->session->loop, check->web_admin, "/config_dump", FETCH_MS, &dump) != 200)
        return false;
    json_t *root = json_loadb(dump.data, dump.size, 0, NULL);
    find_weights(root, &seen_v1, &seen_v2);
    json_decref(root);
    return seen_v1 == v1 && seen_v2 == v2;
}

/* Until web's sidecar runs the new weights. */
static bool settle(struct check *check, struct phase *phase)
{
    uint64_t began = clock_now_us();
    while (!is_settled(check, phase->v1, phase->v2)) {
        if (clock_now_us() - began > SETTLE_MS * UINT64_C(1000))
            return error_set(check->error, "TUL1219", "the sidecar of web does not take %d/%d over",
                             phase->v1, phase->v2);
        pass(check, TURN_MS);
    }
    phase->settled_ms = (double)(clock_now_us() - began) / 1000;
    return true;
}

/* --- what the load saw -------------------------------------------------------------------------------------------- */

static double number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

/* Ends the load's window and begins a new one. */
static json_t *take_window(struct check *check)
{
    owned_buffer text = {0};
    json_t *window = NULL;
    if (fetch(check->session->loop, check->load, "/window/reset", FETCH_MS, &text) == 200)
        window = json_loadb(text.data, text.size, 0, NULL);
    if (!window)
        error_set(check->error, "TUL1219", "the load generator at %s does not answer", check->load);
    return window;
}

static void keep_reason(struct phase *phase, const json_t *window)
{
    const char *reason;
    json_t *count;
    json_object_foreach(json_object_get(window, "reasons"), reason, count)
    {
        if (!phase->reason)
            phase->reason = str_copy(reason);
    }
}

static void keep_window(struct phase *phase, const json_t *window)
{
    const json_t *versions = json_object_get(window, "versions"),
                 *latency = json_object_get(window, "latency_ms");
    phase->requests = number(window, "requests");
    phase->failures = number(window, "failures");
    phase->seen_v1 = number(versions, "v1");
    phase->seen_v2 = number(versions, "v2");
    phase->other = phase->requests - phase->failures - phase->seen_v1 - phase->seen_v2;
    phase->p50 = number(latency, "p50");
    phase->p90 = number(latency, "p90");
    phase->p99 = number(latency, "p99");
    keep_reason(phase, window);
}

static struct golden scrape(struct check *check)
{
    struct golden golden = {0};
    for (unsigned i = 0; i < runner_sidecars(check->session->runner); i++) {
        owned_buffer text = {0};
        if (fetch(check->session->loop, runner_admin(check->session->runner, i),
                  "/stats/prometheus", FETCH_MS, &text) == 200)
            golden_add(&golden, buffer_slice(&text));
    }
    return golden;
}

/* --- phases ------------------------------------------------------------------------------------------------------- */

static bool load_for_a_while(struct check *check, const struct phase *phase)
{
    if (!phase->kills) {
        pass(check, PHASE_MS);
        return true;
    }
    pass(check, PHASE_MS / 3);
    runner_kill_control(check->session->runner);
    pass(check, AWAY_MS);
    if (!runner_restart_control(check->session->runner, check->error))
        return false;
    pass(check, PHASE_MS / 3);
    return true;
}

static void judge(struct phase *phase)
{
    double answered = phase->seen_v1 + phase->seen_v2;
    if (phase->requests < 50)
        phase->verdict = "too few requests";
    else if (phase->failures + phase->switch_failures > 0)
        phase->verdict = "failed requests";
    else if (phase->other > 0)
        phase->verdict = "an unknown version answered";
    else if (!split_is_fair(phase->seen_v2, answered, phase->v2 / 100.0))
        phase->verdict = "not the split that was asked for";
    else if (phase->mtls < 1)
        phase->verdict = phase->mtls < 0 ? "no hop was counted" : "a hop without mutual TLS";
}

static bool run_phase(struct check *check, struct phase *phase)
{
    if (!set_weights(check, phase->v1, phase->v2) || !settle(check, phase))
        return false;
    json_t *window = take_window(check);
    if (!window)
        return false;
    phase->switch_requests = number(window, "requests");
    phase->switch_failures = number(window, "failures");
    keep_reason(phase, window);
    json_decref(window);
    if (!load_for_a_while(check, phase) || !(window = take_window(check)))
        return false;
    keep_window(phase, window);
    json_decref(window);
    struct golden now = scrape(check), since = golden_since(&now, &check->golden);
    check->golden = now;
    phase->mtls = golden_secured(&since);
    judge(phase);
    return !check->session->is_interrupted || error_set(check->error, "TUL1214", "interrupted");
}

static void print_head(void)
{
    printf("\n%-22s %8s %8s  %-13s %7s %7s %6s  %s\n", "PHASE", "REQUESTS", "FAILURES", "SPLIT",
           "P50", "P99", "MTLS", "VERDICT");
}

static void print_phase(const struct phase *phase)
{
    double answered = phase->seen_v1 + phase->seen_v2;
    printf("%-22s %8.0f %8.0f  %5.1f/%-5.1f %% %5.1fms %5.1fms %5.0f%%  %s\n", phase->name,
           phase->requests + phase->switch_requests, phase->failures + phase->switch_failures,
           answered > 0 ? 100 * phase->seen_v1 / answered : 0,
           answered > 0 ? 100 * phase->seen_v2 / answered : 0, phase->p50, phase->p99,
           phase->mtls * 100, phase->verdict ? phase->verdict : "good");
    if (phase->reason)
        printf("  first failure: %s\n", phase->reason);
    fflush(stdout);
}

static json_t *phase_json(const struct phase *phase)
{
    double answered = phase->seen_v1 + phase->seen_v2;
    return json_pack("{s:s, s:{s:i, s:i}, s:{s:f, s:f}, s:I, s:I, s:I, s:I, s:{s:f, s:f, s:f}, "
                     "s:f, s:f, s:b, s:b, s:s?, s:s?}",
                     "phase", phase->name, "wanted", "v1", phase->v1, "v2", phase->v2, "split",
                     "v1", answered > 0 ? phase->seen_v1 / answered : 0, "v2",
                     answered > 0 ? phase->seen_v2 / answered : 0, "requests",
                     (json_int_t)phase->requests, "failures", (json_int_t)phase->failures,
                     "switch_requests", (json_int_t)phase->switch_requests, "switch_failures",
                     (json_int_t)phase->switch_failures, "latency_ms", "p50", phase->p50, "p90",
                     phase->p90, "p99", phase->p99, "settled_ms", phase->settled_ms, "mtls",
                     phase->mtls, "control_plane_killed", phase->kills, "good",
                     phase->verdict == NULL, "verdict", phase->verdict, "reason", phase->reason);
}

static json_t *document_of(struct phase *phases, size_t count, bool is_good, double seconds)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, phase_json(&phases[i]));
    return json_pack("{s:b, s:f, s:o}", "good", is_good, "seconds", seconds, "phases", rows);
}

static const char *admin_of(const struct session *session, const char *service)
{
    for (unsigned i = 0; i < runner_sidecars(session->runner); i++)
        if (strcmp(place_instance(runner_place(session->runner, i))->service, service) == 0)
            return runner_admin(session->runner, i);
    return "";
}

static bool run_phases(struct check *check, struct phase *phases, size_t count, bool is_quiet,
                       size_t *done)
{
    if (!is_quiet)
        print_head();
    json_t *window = take_window(check); /* what was before is not judged */
    if (!window)
        return false;
    json_decref(window);
    check->golden = scrape(check);
    for (*done = 0; *done < count; (*done)++) {
        if (!run_phase(check, &phases[*done]))
            return false;
        if (!is_quiet)
            print_phase(&phases[*done]);
    }
    return true;
}

int demo_check(struct session *session, unsigned load_port, const struct options *options,
               struct error *error)
{
    struct phase phases[] = {{.name = "90/10", .v1 = 90, .v2 = 10},
                             {.name = "50/50, tulled killed", .v1 = 50, .v2 = 50, .kills = true},
                             {.name = "0/100", .v1 = 0, .v2 = 100},
                             {.name = "back to 90/10", .v1 = 90, .v2 = 10}};
    struct check check = {.session = session,
                          .error = error,
                          .load = str_format("127.0.0.1:%u", load_port),
                          .web_admin = str_copy(admin_of(session, "web"))};
    uint64_t began = clock_now_us();
    size_t done = 0;
    bool is_good = run_phases(&check, phases, COUNT(phases), print_wants_document(options), &done);
    for (size_t i = 0; i < done; i++)
        is_good = is_good && !phases[i].verdict;
    double seconds = (double)(clock_now_us() - began) / 1e6;
    if (print_wants_document(options))
        print_document_new(document_of(phases, done, is_good, seconds), options);
    else if (done == COUNT(phases))
        printf("\n%s after %.1fs\n", is_good ? "all good" : "something is off", seconds);
    for (size_t i = 0; i < COUNT(phases); i++)
        mem_free(phases[i].reason);
    mem_free(check.load);
    mem_free(check.web_admin);
    return session->is_interrupted ? EXIT_INTERRUPTED : is_good ? EXIT_GOOD : EXIT_FAILED;
}

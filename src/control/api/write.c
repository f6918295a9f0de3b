/* create, update and patch: read what is stored, make the document wanted, admit it, write it if nobody else did. */
#include "control/api/operation_internal.h"

#include "control/api/patch.h"
#include "control/api/strategic.h"
#include "control/model/object.h"
#include "control/model/revise.h"
#include "control/model/validate.h"
#include "control/monitor/figures.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ATTEMPTS_MAX = 8, GENERATED_CHARS = 5 };

static void ask_stored(struct operation *operation);

/* --- the document wanted ----------------------------------------------------------------------------------------- */

/* What the path says and the body leaves out; false when they disagree. */
static bool complete(struct operation *operation, struct value *document, struct value **out)
{
    struct request *request = &operation->request;
    struct arena *arena = &operation->arena;
    const char *api_version = present_api_version(request->kind, request->version, arena);
    const char *kind = kind_schema(request->kind)->kind;
    if (document->kind != VALUE_OBJECT)
        return fail(&operation->failure, arena, 400, "the body is %s, not an object",
                    value_describe(document, arena));
    struct slice said = tree_text(document, "apiVersion"), named = tree_text(document, "kind");
    if ((said.size > 0 && !slice_equals_str(said, api_version)) ||
        (named.size > 0 && !slice_equals_str(named, kind)))
        return fail(&operation->failure, arena, 400,
                    "the path wants %s of %s, and the object is %.*s of %.*s", kind, api_version,
                    SLICE_ARG(named), SLICE_ARG(said));
    if (named.size == 0)
        document = tree_with(document, "kind", value_new_string(arena, slice_str(kind)), arena);
    if (said.size == 0)
        document = tree_with(document, "apiVersion",
                             value_new_string(arena, slice_str(api_version)), arena);
    struct slice name = tree_text(document, "metadata.name");
    if (request->name.size > 0 && name.size > 0 && !slice_equals(name, request->name))
        return fail(&operation->failure, arena, 400,
                    "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                    SLICE_ARG(name), SLICE_ARG(request->name));
    if (request->name.size > 0 && name.size == 0)
        document = tree_with(document, "metadata",
                             tree_with(value_get(document, "metadata"), "name",
                                       value_new_string(arena, request->name), arena),
                             arena);
    *out = document;
    return true;
}

/* generateName and five characters that are hard to confuse. */
static void generate_name(struct operation *operation)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    struct slice prefix = tree_text(operation->wanted, "metadata.generateName");
    struct random *random = loop_random(operation->api->loop);
    char tail[GENERATED_CHARS + 1] = {0};
    for (size_t i = 0; i < GENERATED_CHARS; i++)
        tail[i] = letters[random_below(random, sizeof(letters) - 1)];
    struct arena *arena = &operation->arena;
    const char *name = arena_format(arena, "%.*s%s", SLICE_ARG(prefix), tail);
    struct value *metadata = tree_with(value_get(operation->wanted, "metadata"), "name",
                                       value_new_string(arena, slice_str(name)), arena);
    operation->wanted = tree_with(operation->wanted, "metadata", metadata, arena);
}

/* --- admission --------------------------------------------------------------------------------------------------- */

static bool has_same(const struct problems *problems, const struct problem *wanted)
{
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        const struct problem *problem = &problems->items[i];
        if (problem->kind == wanted->kind && strcmp(problem->path, wanted->path) == 0 &&
            strcmp(problem->what, wanted->what) == 0)
            return true;
    }
    return false;
}

/* What was stored with such a field, by a newer version say, may be written again with it. */
static bool is_tolerated(const struct operation *operation, const struct problem *problem,
                         const struct problems *stored)
{
    if (problem->kind == PROBLEM_UNKNOWN_FIELD && operation->request.unknown != UNKNOWN_REFUSED)
        return true;
    return (problem->kind == PROBLEM_UNKNOWN_FIELD || problem->kind == PROBLEM_REFUSED) &&
           has_same(stored, problem);
}

static void warn(struct operation *operation, const struct problem *problem)
{
    if (operation->request.unknown == UNKNOWN_WARNED && !operation->warning &&
        problem->kind == PROBLEM_UNKNOWN_FIELD && slice_is_utf8(slice_str(problem->path)))
        operation->warning =
            arena_format(&operation->arena, "299 - \"unknown field \\\"%s\\\"\"", problem->path);
}

static bool admit(struct operation *operation, const struct value *stored,
                  struct admitted *admitted)
{
    struct arena *arena = &operation->arena;
    struct slice name_space = operation->request.name_space;
    struct problems *problems = arena_new(arena, struct problems);
    struct problems *before = arena_new(arena, struct problems);
    problems->arena = before->arena = arena;
    (void)object_admit_lenient(operation->wanted, name_space, problems, admitted);
    if (stored) {
        struct admitted ignored;
        (void)object_admit_lenient(stored, SLICE_NONE, before, &ignored);
    }
    problems->fatal_count = 0;
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        struct problem *problem = &problems->items[i];
        problem->fatal = !is_tolerated(operation, problem, before);
        problems->fatal_count += problem->fatal;
        warn(operation, problem);
    }
    if (problems->count > PROBLEMS_MAX)
        problems->fatal_count += problems->count - PROBLEMS_MAX;
    if (problems->fatal_count == 0) {
        figures_judged(operation->api->figures, operation->request.kind, true);
        return true;
    }
    figures_judged(operation->api->figures, operation->request.kind, false);
    return fail_invalid(&operation->failure, operation_kind(operation),
                        tree_text(operation->wanted, "metadata.name"), problems, arena);
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void answer(struct operation *operation, uint64_t revision)
{
    struct request *request = &operation->request;
    operation_reply_object(operation, request->verb == VERB_CREATE ? 201 : 200,
                           present_object(operation->presented, request->kind, request->version,
                                          revision, &operation->arena),
                           revision);
}

static void already_exists(struct operation *operation, struct slice name)
{
    fail(&operation->failure, &operation->arena, 409, "%s \"%.*s\" already exists",
         status_resource(operation_kind(operation), &operation->arena), SLICE_ARG(name));
    operation->failure.reason = "AlreadyExists";
    operation_refuse(operation);
}

static void conflict(struct operation *operation)
{
    operation_fail(operation, 409,
                   "Operation cannot be fulfilled on %s \"%.*s\": the object has been modified; "
                   "please apply your changes to the latest version and try again",
                   status_resource(operation_kind(operation), &operation->arena),
                   SLICE_ARG(operation->request.name));
}

static void create(struct operation *operation);

static void on_written(void *owner, const struct store_written *written)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (written->status == STORE_OK) {
        answer(operation, written->revision);
    } else if (written->status != STORE_CONFLICT) {
        operation_fail_store(operation, written->status, written->reason);
    } else if (operation->request.verb != VERB_CREATE) {
        if (operation->conditional || ++operation->attempts == ATTEMPTS_MAX)
            conflict(operation);
        else
            ask_stored(operation);
    } else if (operation->conditional || ++operation->attempts == ATTEMPTS_MAX) {
        already_exists(operation, tree_text(operation->wanted, "metadata.name"));
    } else {
        create(operation); /* with another generated name */
    }
}

static bool read_lease(struct operation *operation, uint64_t *lease)
{
    struct slice text = rpc_exchange_header(operation->exchange, "x-tulle-lease");
    if (text.size == 0 || slice_to_u64(text, INT64_MAX, lease))
        return true;
    return fail(&operation->failure, &operation->arena, 400, "X-Tulle-Lease is no lease: %.*s",
                SLICE_ARG(text));
}

static void put(struct operation *operation, const struct value *document)
{
    owned_buffer text = {0};
    value_write_json(document, false, &text);
    struct store_compare compare = {operation->key, operation->stored_revision};
    struct store_put put = {operation->key, buffer_slice(&text), operation->stored_lease};
    struct store_txn txn = {.compares = &compare, .compare_count = 1, .puts = &put, .put_count = 1};
    operation->ticket = store_txn(operation->api->store, &txn, on_written, operation);
}

/* The revision of what was admitted, and its fate: dry, unchanged, or written. */
static void write_revised(struct operation *operation, const struct value *stored,
                          const struct admitted *admitted)
{
    struct arena *arena = &operation->arena;
    char uid[37];
    random_uuid(loop_random(operation->api->loop), uid);
    struct revision_maker maker = {.now_s = operation_now_s(operation), .uid = uid};
    enum revise_part part = operation->request.status ? REVISE_STATUS : REVISE_OBJECT;
    struct value *revised = object_revise(stored, operation->wanted, admitted, part, &maker, arena);
    operation->presented = revised ? revised : tree_share(stored, arena);
    if ((!revised && !operation->moves) || operation->request.dry_run)
        answer(operation, operation->stored_revision);
    else
        put(operation, operation->presented);
}

static void create(struct operation *operation)
{
    struct admitted admitted;
    if (!operation->conditional)
        generate_name(operation);
    if (!admit(operation, NULL, &admitted)) {
        operation_refuse(operation);
        return;
    }
    operation->key = admitted.key;
    if (operation->request.dry_run)
        ask_stored(operation);
    else
        write_revised(operation, NULL, &admitted);
}

/* --- against what is stored -------------------------------------------------------------------------------------- */

/* The file that the object belongs to refuses other writers. Status is not the file's. */
static bool check_source(struct operation *operation, const struct value *stored)
{
    struct slice source = object_source(stored);
    if (source.size == 0 || operation->request.status)
        return true;
    return fail(&operation->failure, &operation->arena, 409,
                "%s \"%.*s\" comes from the file %.*s; change that file instead",
                status_resource(operation_kind(operation), &operation->arena),
                SLICE_ARG(operation->request.name), SLICE_ARG(slice_from(source, 4)));
}

/* resourceVersion and uid, where the client names them. */
static bool check_conditions(struct operation *operation, const struct value *stored)
{
    struct arena *arena = &operation->arena;
    struct slice revision = tree_text(operation->wanted, "metadata.resourceVersion");
    struct slice uid = tree_text(operation->wanted, "metadata.uid");
    const char *current = arena_format(arena, "%" PRIu64, operation->stored_revision);
    operation->conditional = operation->request.verb == VERB_UPDATE && revision.size > 0;
    if (uid.size > 0 && !slice_equals(uid, tree_text(stored, "metadata.uid")))
        return fail(&operation->failure, arena, 409,
                    "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                    SLICE_ARG(uid), SLICE_ARG(tree_text(stored, "metadata.uid")));
    if (revision.size == 0 || slice_equals_str(revision, "0") ||
        slice_equals_str(revision, current))
        return true;
    return fail(&operation->failure, arena, 409,
                "Operation cannot be fulfilled on %s \"%.*s\": the object has been modified; "
                "please apply your changes to the latest version and try again",
                status_resource(operation_kind(operation), arena),
                SLICE_ARG(operation->request.name));
}

static bool has_type(const struct operation *operation, const char *type)
{
    return slice_starts_with(rpc_exchange_header(operation->exchange, "content-type"),
                             slice_str(type));
}

static bool patch_strategic(struct operation *operation, const struct value *base,
                            struct value **out)
{
    owned_error error = {0};
    const struct pb_type *type = operation_kind(operation)->type;
    if (strategic_patch(base, operation->patch, type, &operation->arena, out, &error))
        return true;
    return fail(&operation->failure, &operation->arena, 400, "%s", error.what);
}

/* The patch done to the object as clients see it. */
static bool patch_stored(struct operation *operation, const struct value *stored,
                         struct value **out)
{
    struct request *request = &operation->request;
    struct arena *arena = &operation->arena;
    const struct value *base =
        present_object(stored, request->kind, request->version, operation->stored_revision, arena);
    owned_error error = {0};
    if (has_type(operation, "application/strategic-merge-patch+json"))
        return patch_strategic(operation, base, out);
    if (!has_type(operation, "application/json-patch+json")) {
        *out = patch_merge(base, operation->patch, arena);
        return true;
    }
    switch (patch_json(base, operation->patch, arena, out, &error)) {
    case PATCH_DONE: return true;
    case PATCH_MALFORMED: return fail(&operation->failure, arena, 400, "%s", error.what);
    case PATCH_FAILED: break;
    }
    return fail(&operation->failure, arena, 422, "%s", error.what);
}

/* For /status: what is stored, with the status wanted. Else what is wanted, in the version that is stored. */
static void settle_wanted(struct operation *operation, const struct value *stored)
{
    struct arena *arena = &operation->arena;
    if (operation->request.status) {
        const struct value *status = value_get(operation->wanted, "status");
        operation->wanted =
            tree_with(stored, "status", status ? tree_share(status, arena) : NULL, arena);
        return;
    }
    const struct value *version = value_get(stored, "apiVersion");
    if (version)
        operation->wanted =
            tree_with(operation->wanted, "apiVersion", tree_share(version, arena), arena);
}

static bool prepare_update(struct operation *operation, struct value *stored,
                           struct admitted *admitted)
{
    struct value *wanted = operation->patch ? NULL : operation->wanted;
    if (operation->patch && !patch_stored(operation, stored, &wanted))
        return false;
    if (!complete(operation, wanted, &operation->wanted) || !check_conditions(operation, stored) ||
        !check_source(operation, stored))
        return false;
    settle_wanted(operation, stored);
    return admit(operation, stored, admitted);
}

static void update(struct operation *operation, struct value *stored)
{
    struct admitted admitted;
    struct value *body = operation->wanted;
    if (prepare_update(operation, stored, &admitted))
        write_revised(operation, stored, &admitted);
    else
        operation_refuse(operation);
    operation->wanted = body; /* as it came, for another attempt */
}

static void on_stored(void *owner, const struct store_page *page)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (page->status != STORE_OK) {
        operation_fail_store(operation, page->status, page->reason);
        return;
    }
    if (operation->request.verb == VERB_CREATE) { /* dry: it would be made */
        struct admitted admitted;
        if (page->count > 0)
            already_exists(operation, tree_text(operation->wanted, "metadata.name"));
        else if (admit(operation, NULL, &admitted))
            write_revised(operation, NULL, &admitted);
        else
            operation_refuse(operation);
        return;
    }
    struct value *stored =
        page->count ? present_read(page->entries[0].value, &operation->arena) : NULL;
    if (!stored) {
        operation_fail(operation, 404, "%s \"%.*s\" not found",
                       status_resource(operation_kind(operation), &operation->arena),
                       SLICE_ARG(operation->request.name));
        return;
    }
    operation->stored_revision = page->entries[0].revision;
    if (operation->stored_lease == 0)
        operation->stored_lease = page->entries[0].lease;
    operation->moves = operation->stored_lease != page->entries[0].lease;
    update(operation, stored);
}

static void ask_stored(struct operation *operation)
{
    operation->ticket = store_get(operation->api->store, operation->key, on_stored, operation);
}

/* --- the beginning ----------------------------------------------------------------------------------------------- */

static bool check_patch_type(struct operation *operation)
{
    struct slice type = rpc_exchange_header(operation->exchange, "content-type");
    bool is_core = kind_schema(operation->request.kind)->group[0] == '\0';
    if (has_type(operation, "application/merge-patch+json") ||
        has_type(operation, "application/json-patch+json") ||
        (is_core && has_type(operation, "application/strategic-merge-patch+json")))
        return true;
    if (has_type(operation, "application/apply-patch"))
        return fail(&operation->failure, &operation->arena, 415,
                    "server-side apply is not served; use kubectl apply without --server-side");
    return fail(&operation->failure, &operation->arena, 415,
                "the body of the request was in an unknown format (%.*s) - accepted media types "
                "include: application/json-patch+json, application/merge-patch+json%s",
                SLICE_ARG(type), is_core ? ", application/strategic-merge-patch+json" : "");
}

static void start_create(struct operation *operation)
{
    struct slice name = tree_text(operation->wanted, "metadata.name");
    operation->conditional =
        name.size > 0 || tree_text(operation->wanted, "metadata.generateName").size == 0;
    create(operation);
}

void write_start(struct operation *operation)
{
    struct request *request = &operation->request;
    struct value *body;
    if (request->verb == VERB_PATCH && !check_patch_type(operation)) {
        operation_refuse(operation);
        return;
    }
    if (!operation_read_body(operation, &body))
        return;
    if (!read_lease(operation, &operation->stored_lease)) {
        operation_refuse(operation);
        return;
    }
    if (request->verb == VERB_PATCH)
        operation->patch = body;
    else if (!complete(operation, body, &operation->wanted)) {
        operation_refuse(operation);
        return;
    }
    if (request->verb == VERB_CREATE) {
        start_create(operation);
        return;
    }
    operation->key =
        object_key_make(request->kind, request->name_space, request->name, &operation->arena);
    ask_stored(operation);
}

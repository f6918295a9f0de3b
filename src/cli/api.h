/*
 * api: calls to tulled's REST API from a command; each call waits for its answer.
 *
 * The API is reached by its Unix socket, whose owner may do what the policy allows that user. Default:
 * ${TULLE_HOME:-~/.tulle}/current/api.sock, which `tulle demo` and `tulle run` point to the mesh they started last.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "cli/options.h"

#include <jansson.h>

struct api;
struct loop;

/* loop NULL: one of its own. False with TUL0008x when the address cannot be understood. */
MUST_USE bool api_open(const struct options *options, struct loop *loop, struct api **out,
                       struct error *error);
void api_close(struct api *api);
OWNED(api, api_close)
/* Where it is, for messages. */
const char *api_address(const struct api *api);

struct api_answer {
    unsigned status;
    struct buffer body;
};
void api_answer_fini(struct api_answer *answer);
/* False with TUL5001 when there is no answer: nobody listens, or the timeout passed. */
MUST_USE bool api_call(struct api *api, const char *method, const char *path,
                       const char *content_type, struct slice body, struct api_answer *answer,
                       struct error *error);
/* What is created from now on goes when this lease ends; NULL: it stays. Copied. */
void api_set_lease(struct api *api, const char *lease);
/* The same with JSON: body may be NULL; *out is a new reference, or NULL for an empty answer. False also for a status
 * of 400 and more, which becomes an error in the API's own words (its Status message). `status` may be NULL. */
MUST_USE bool api_json(struct api *api, const char *method, const char *path, const json_t *body,
                       json_t **out, unsigned *status, struct error *error);
/* The exit code that suits an error of these calls. */
int api_exit_code(const struct error *error);
/* ${TULLE_HOME:-~/.tulle}, on the heap. */
char *api_home(void);

/*
 * openapi: the schema of everything that is served, from the tables of proto/, for kubectl explain and apply.
 *
 * Made once and kept: what is served does not change while we run.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct openapi;

struct openapi *openapi_create(const char *version);
/* Accepts NULL. */
void openapi_destroy(struct openapi *openapi);
/* Swagger 2.0, of all groups; borrowed. */
struct slice openapi_v2_json(const struct openapi *openapi);
/* The same as an openapi.v2.Document. */
struct slice openapi_v2_protobuf(const struct openapi *openapi);
/* The index of /openapi/v3, and the document of one of its paths ("apis/networking.istio.io/v1"); data == NULL when there is
 * no such one. */
struct slice openapi_v3_index(const struct openapi *openapi);
struct slice openapi_v3_json(const struct openapi *openapi, struct slice path);

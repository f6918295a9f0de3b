/*
 * telemetry: what the proxy counts and logs, as a whole: the registry, the access-log sink, each worker's observer.
 */
#pragma once

#include "base/attributes.h"

struct buffer;
struct observer;
struct process;
struct snapshot;
struct stats_registry;
struct telemetry;

/* Main thread. */
struct telemetry *telemetry_create(const struct process *process);
/* Accepts NULL. Every worker's thread has ended. */
void telemetry_destroy(struct telemetry *telemetry);
/* The observer of a worker that is being made, before its thread starts. */
struct observer *telemetry_observer(struct telemetry *telemetry, unsigned worker);
/* Access logs are opened anew. */
void telemetry_reopen(struct telemetry *telemetry);
/* A snapshot was published, or somebody is about to look at what was counted. */
void telemetry_follow(struct telemetry *telemetry, const struct snapshot *snapshot);
struct stats_registry *telemetry_registry(struct telemetry *telemetry);

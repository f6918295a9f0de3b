/*
 * status_document: findings as an object's status in Istio's shape. Pure.
 *
 * Core kinds have conditions alone, as Kubernetes knows them. Ours are the condition Reconciled, validationMessages and
 * observedGeneration; what others wrote stays. Without findings ours go, and with them a status that holds nothing else.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "control/conditions/findings.h"
#include "pb/document.h"

/* The document with that status, in the arena, sharing the rest; NULL when it says so already. now_us: wall clock. */
struct value *status_document(const struct value *stored, const struct findings *findings,
                              int64_t now_us, struct arena *arena);

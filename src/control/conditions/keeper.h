/*
 * keeper: keeps in the store what translation falls back to, so that the last good version of a refused object survives
 * a restart.
 *
 * A key an object, tulle.dev/fallbacks//KEY, with the document of that version; it is there only as long as proxies would refuse
 * the object as it is now. One thread's: the model's and the store's.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct fallbacks;
struct keeper;
struct loop;
struct store;

#define KEEPER_PREFIX "tulle.dev/fallbacks//"

/* All must outlive it. Before the model is filled. */
struct keeper *keeper_create(struct loop *loop, struct store *store, struct fallbacks *fallbacks);
/* Accepts NULL. What was not written yet is not. */
void keeper_destroy(struct keeper *keeper);
/* A key of the store that is no object's; false when it is none of ours. */
bool keeper_see(struct keeper *keeper, struct slice key, struct slice value);
/* The model is complete. */
void keeper_start(struct keeper *keeper);

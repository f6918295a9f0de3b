/*
 * last_good: the last good configuration on disk: written a moment after each change, read at start.
 */
#pragma once

#include "base/attributes.h"

struct ads_client;
struct configure;
struct last_good;
struct loop;
struct publisher;

/* directory NULL: nothing is kept, and every call below does nothing. */
struct last_good *last_good_create(struct loop *loop, struct configure *configure,
                                   struct publisher *publisher, const char *directory);
void last_good_destroy(struct last_good *last_good);
/* Puts what was kept into the intake; blocks for one file, before anything is served. */
void last_good_load(struct last_good *last_good);
bool last_good_was_loaded(const struct last_good *last_good);
/* Tells the control plane's client what is held, so that only what differs is sent. */
void last_good_tell(const struct last_good *last_good, struct ads_client *ads);
/* Something was published: it is written within a second, on a helper thread. */
void last_good_note(struct last_good *last_good);

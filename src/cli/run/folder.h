/*
 * folder: the runner's folders: made, emptied, and locked by the one who uses them.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

/* Makes it (0700) with its parents. */
MUST_USE bool folder_make(const char *path, struct error *error);
/* Removes what is in it, and itself when `whole`; follows no link. */
void folder_remove(const char *path, bool whole);
/* A lock that ends with the process or close(); -1 with TUL1213 when another process holds it. */
MUST_USE int folder_lock(const char *path, struct error *error);
/* Makes `link` lead to `target`, replacing a link in one step. */
MUST_USE bool folder_link(const char *link, const char *target, struct error *error);
/* Removes the link when it still leads to `target`. */
void folder_unlink(const char *link, const char *target);
/* The folder of the running program, on the heap. */
char *folder_of_program(void);
/* The last `lines` lines of a file, on the heap; empty when there are none. */
char *folder_tail(const char *path, unsigned lines);

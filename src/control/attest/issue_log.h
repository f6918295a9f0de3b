/*
 * issue_log: what was issued, in the store under tulle.dev/certificates//SERIAL, until some time after it has expired.
 *
 * A record is there before its certificate is handed out, so that whatever a key can do is known; it goes ISSUE_LOG_KEEP_S
 * after the certificate's end, in small transactions, so that the log is as long as what is alive and no longer.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct buffer;
struct issue_log;
struct issue_record;
struct loop;
struct store;

#define ISSUE_LOG_PREFIX "tulle.dev/certificates//"
enum { ISSUE_LOG_KEEP_S = 24 * 3600 };

/* The key (heap) and the value of a record. */
char *issue_log_entry(const struct issue_record *record, struct buffer *value);

/* Looks through the log now and then; both must outlive it. */
struct issue_log *issue_log_create(struct loop *loop, struct store *store);
/* Accepts NULL. */
void issue_log_destroy(struct issue_log *log);
/* Looks now instead of later. */
void issue_log_sweep(struct issue_log *log);
bool issue_log_is_sweeping(const struct issue_log *log);

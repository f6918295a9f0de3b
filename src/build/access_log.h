/*
 * access_log: where lines go, which exchanges get one, and what stands in it.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "build/format.h"
#include "build/options.h"
#include "match/header_match.h"
#include "match/predicate.h"

#include "envoy/config/accesslog/v3/accesslog.pb-c.h"

struct table_memory;

enum access_log_sink { ACCESS_LOG_FILE, ACCESS_LOG_STDOUT, ACCESS_LOG_STDERR };
enum { ACCESS_LOGS_MAX = 8 };

/* Response flags as bits, in the order of their short names in access_log_flags. */
enum access_log_flag {
    FLAG_LH,
    FLAG_UH,
    FLAG_UT,
    FLAG_LR,
    FLAG_UR,
    FLAG_UF,
    FLAG_UC,
    FLAG_UO,
    FLAG_NR,
    FLAG_DI,
    FLAG_FI,
    FLAG_RL,
    FLAG_UAEX,
    FLAG_RLSE,
    FLAG_DC,
    FLAG_URX,
    FLAG_SI,
    FLAG_IH,
    FLAG_DPE,
    FLAG_UMSDR,
    FLAG_RFCF,
    FLAG_NFCF,
    FLAG_DT,
    FLAG_UPE,
    FLAG_NC,
    FLAG_OM,
    FLAG_DF,
    FLAG_DO,
    FLAG_UDPE,
    FLAG_DR,
    ACCESS_LOG_FLAGS
};
/* "UH" and so on; and FORMAT_RESPONSE_FLAGS_LONG's names. Static. */
const char *access_log_flag_name(enum access_log_flag flag);
const char *access_log_flag_long_name(enum access_log_flag flag);
MUST_USE bool access_log_flag_parse(struct slice name, enum access_log_flag *flag);

enum access_log_test_kind {
    ACCESS_LOG_STATUS,
    ACCESS_LOG_DURATION,
    ACCESS_LOG_FLAG,
    ACCESS_LOG_HEADER,
    ACCESS_LOG_NOT_HEALTH_CHECK,
};
enum access_log_compare { ACCESS_LOG_EQ, ACCESS_LOG_GE, ACCESS_LOG_LE, ACCESS_LOG_NE };
struct access_log_test {
    enum access_log_test_kind kind : 8;
    enum access_log_compare compare : 8;
    uint32_t value; /* status or ms */
    uint64_t flags; /* any of these bits; 0: any flag at all */
    struct header_match header;
};
/* What the filter looks at when the exchange is over. */
struct access_log_facts {
    uint32_t status; /* 0: none was sent */
    uint64_t duration_ms;
    uint64_t flags;
    bool health_check;
    const struct match_request *request; /* NULL on TCP: header tests do not hold */
};

struct access_log {
    enum access_log_sink sink;
    struct slice path; /* FILE */
    struct format format;
    struct predicate filter; /* over struct access_log_test */
};
struct access_logs {
    const struct access_log *items;
    size_t count;
};

/* Does this exchange get a line? */
bool access_log_wants(const struct access_log *log, const struct access_log_facts *facts);
/* Envoy's default text and Istio's; static. */
struct slice access_log_default_format(void);
struct slice access_log_istio_format(void);

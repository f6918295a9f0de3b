#include "http/h1.h"

#include "base/memory.h"
#include "recorder.h"
#include "test.h"

static struct block_pool *pool;
static struct http_limits limits;

struct bench {
    struct h1 h1;
    struct recorder recorder;
    struct arena arena; /* client streams' */
};

static void begin(struct bench *bench, enum http_role role)
{
    *bench = (struct bench){0};
    pool = block_pool_create(NULL);
    h1_init(&bench->h1, role, &recorder_codec_events, &recorder_consumer, &limits, pool,
            &bench->recorder);
    bench->h1.codec.established = true;
    bench->recorder = (struct recorder){.codec = &bench->h1.codec, .pool = pool};
    arena_init(&bench->arena, pool);
}

static void end(struct bench *bench)
{
    recorder_fini(&bench->recorder);
    CHECK(list_is_empty(&bench->h1.codec.streams));
    arena_fini(&bench->arena);
    CHECK(block_pool_in_use(pool) == 0, "%zu bytes are still lent out", block_pool_in_use(pool));
    block_pool_destroy(pool);
}

static const char *log_of(struct bench *bench)
{
    return bench->recorder.log.data ? bench->recorder.log.data : "";
}

static bool wire_holds(const struct bench *bench, const char *text)
{
    return bench->recorder.wire.data && strstr(bench->recorder.wire.data, text);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; at && (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* --- servers ------------------------------------------------------------------------------------------------ */

#define HEAD "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /p HTTP/1.1\r\nHost: a\r\n"

static const struct row {
    const char *name, *wire, *log;
} accepted[] = {
    {"a plain GET", HEAD "\r\n", "request GET / host a length -1\nend\n"},
    {"two pipelined", HEAD "\r\n" HEAD "\r\n",
     "request GET / host a length -1\nend\nrequest GET / host a length -1\nend\n"},
    {"fields keep order and case", HEAD "X-b: 1\r\nUser-AGENT:  curl \r\nX-b:\t2\r\nEmpty:\r\n\r\n",
     "request GET / host a length -1\n  X-b: 1\n  User-AGENT: curl\n  X-b: 2\n  Empty: \nend\n"},
    {"a body by length", POST "Content-Length: 5\r\n\r\nhello" HEAD "\r\n",
     "request POST /p host a length 5\n  Content-Length: 5\ndata hello\nend\n"
     "request GET / host a length -1\nend\n"},
    {"SMG-08 zeros before a length", POST "Content-Length: 0005\r\n\r\nhello",
     "request POST /p host a length 5\n  Content-Length: 5\ndata hello\nend\n"},
    {"a length of 0", POST "Content-Length: 0\r\n\r\n",
     "request POST /p host a length 0\n  Content-Length: 0\nend\n"},
    {"SMG-18 a GET with a body", HEAD "Content-Length: 3\r\n\r\nGET" HEAD "\r\n",
     "request GET / host a length 3\n  Content-Length: 3\ndata GET\nend\n"
     "request GET / host a length -1\nend\n"},
    {"chunks",
     POST "Transfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n3;x=\"y\"\r\nbar\r\n0\r\n\r\n" HEAD "\r\n",
     "request POST /p host a length -1\ndata foobar\nend\nrequest GET / host a length -1\nend\n"},
    {"SMG-16 legal forms of chunked",
     POST "TRANSFER-encoding:\tCHUNKED \t\r\n\r\n1\r\na\r\n00\r\n\r\n",
     "request POST /p host a length -1\ndata a\nend\n"},
    {"trailers", POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
     "request POST /p host a length -1\ndata a\ntrailers\n  X-Sum: 1\n  Y: 2\nend\n"},
    {"SMG-39 trailers that belong into a head are dropped",
     POST "Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: c\r\n"
          "X-Forwarded-For: d\r\nx-forwarded-extra: e\r\nX-Tulle-Y: f\r\n\r\n" HEAD "\r\n",
     "request POST /p host a length -1\nend\nrequest GET / host a length -1\nend\n"},
    {"SMG-63 one empty line before", "\r\n" HEAD "\r\n", "request GET / host a length -1\nend\n"},
    {"HTTP/1.0 without Host", "GET /x HTTP/1.0\r\n\r\n", "request GET /x host  length -1\nend\n"},
    {"absolute form", "GET http://A:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
     "request GET /x?y host A:80 length -1\nend\n"},
    {"absolute form without path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
     "request GET / host a length -1\nend\n"},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
     "request OPTIONS * host a length -1\nend\n"},
    {"an unknown method", "PURGE /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
     "request PURGE /x host [::1]:80 length -1\nend\n"},
    {"SMG-26 bytes over 7f in a value", HEAD "X: \x80\xff\r\n\r\n",
     "request GET / host a length -1\n  X: \x80\xff\nend\n"},
    {"SMG-17 an underscore twin is dropped", HEAD "Content_Length: 5\r\nMy_Own: 1\r\n\r\n",
     "request GET / host a length -1\n  My_Own: 1\nend\n"},
    {"HDR-11 fields of the connection go",
     HEAD
     "Connection: keep-alive, X-Hop, te\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"
     "TE: gzip, trailers;q=1, trailers\r\nStay: 1\r\n\r\n",
     "request GET / host a length -1\n  TE: trailers\n  Stay: 1\nend\n"},
    {"HDR-04 Connection takes no identity away",
     HEAD "connection: X-Forwarded-Client-Cert, authorization, host, content-length\r\n"
          "Connection: x-tulle-a, X-B\r\nX-Forwarded-Client-Cert: c\r\nAuthorization: d\r\n"
          "X-Tulle-A: e\r\nx-b: f\r\nContent-Length: 0\r\n\r\n",
     "request GET / host a length 0\n  X-Forwarded-Client-Cert: c\n  Authorization: d\n"
     "  X-Tulle-A: e\n  Content-Length: 0\nend\n"},
    {"SMG-47 h2c is not offered",
     HEAD "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
     "request GET / host a length -1\nend\n"},
    {"an upgrade without Connection is none", HEAD "Upgrade: websocket\r\n\r\n",
     "request GET / host a length -1\nend\n"},
    {"Expect", POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
     "request POST /p host a length 1\n  Expect: 100-Continue\n  Content-Length: 1\ndata x\nend\n"},
    {"SMG-41 nothing of a cut head", "GET / HTTP/1.1\r\nHos", ""},
};

TEST(a_server_reads_the_same_requests_however_they_are_cut)
{
    limits = http_limits_default;
    EACH (row, accepted) {
        size_t size = strlen(row->wire);
        for (size_t cut = 1; cut <= size; cut++) {
            struct bench bench;
            begin(&bench, HTTP_SERVER);
            bench.recorder.answers = true;
            recorder_feed(&bench.recorder, slice_of(row->wire, size), cut);
            CHECK(strcmp(log_of(&bench), row->log) == 0, "%s, by %zu: got\n%s", row->name, cut,
                  log_of(&bench));
            CHECK(!bench.h1.codec.broken &&
                      !bench.h1.codec.closing == (strstr(row->wire, "1.0") == NULL),
                  "%s, by %zu", row->name, cut);
            end(&bench);
        }
    }
}

#define BAD_HEAD(id, head, why)                                                                    \
    {                                                                                              \
        id, head, why, sizeof(head) - 1                                                            \
    }
static const struct bad {
    const char *name, *wire, *why;
    size_t size;
} refused[] = {
    BAD_HEAD("SMG-01", POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
             "length_and_chunked"),
    BAD_HEAD("SMG-02", POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
             "length_and_chunked"),
    BAD_HEAD("SMG-03", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "length_twice"),
    BAD_HEAD("SMG-04", POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "length_twice"),
    BAD_HEAD("SMG-04b", POST "Content-Length: 1, 1\r\n\r\n", "length"),
    BAD_HEAD("SMG-05 sign", POST "Content-Length: +1\r\n\r\n", "length"),
    BAD_HEAD("SMG-05 blank", POST "Content-Length: 1 2\r\n\r\n", "length"),
    BAD_HEAD("SMG-05 hex", POST "Content-Length: 0x1\r\n\r\n", "length"),
    BAD_HEAD("SMG-06", POST "Content-Length: \r\n\r\n", "length"),
    BAD_HEAD("SMG-07 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n", "length"),
    BAD_HEAD("SMG-07 2^64", POST "Content-Length: 18446744073709551616\r\n\r\n", "length"),
    BAD_HEAD("SMG-07 2^64+1", POST "Content-Length: 18446744073709551617\r\n\r\n", "length"),
    BAD_HEAD("SMG-09 x", POST "Transfer-Encoding: xchunked\r\n\r\n", "coding"),
    BAD_HEAD("SMG-09 quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", "coding"),
    BAD_HEAD("SMG-09 short", POST "Transfer-Encoding: chunk\r\n\r\n", "coding"),
    BAD_HEAD("SMG-09 weight", POST "Transfer-Encoding: chunked;q=1\r\n\r\n", "coding"),
    BAD_HEAD("SMG-10", POST "Transfer-Encoding: chunked, gzip\r\n\r\n", "coding_list"),
    BAD_HEAD("SMG-10 identity", POST "Transfer-Encoding: identity, chunked\r\n\r\n", "coding_list"),
    BAD_HEAD("SMG-11", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", "coding_list"),
    BAD_HEAD("SMG-11 lines",
             POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
             "coding_list"),
    BAD_HEAD("SMG-11 before", POST "Transfer-Encoding: ,chunked\r\n\r\n", "coding_list"),
    BAD_HEAD("SMG-11 after", POST "Transfer-Encoding: chunked,\r\n\r\n", "coding_list"),
    BAD_HEAD("SMG-12", POST "Transfer-Encoding : chunked\r\n\r\n", "name"),
    BAD_HEAD("SMG-12 length", POST "Content-Length\t: 1\r\n\r\n", "name"),
    BAD_HEAD("SMG-14", POST "Transfer-Encoding:\r\n chunked\r\n\r\n", "coding_list"),
    BAD_HEAD("SMG-15", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "coding_version"),
    BAD_HEAD("SMG-22", "GET / HTTP/1.1\nHost: a\n\n", "bare_lf"),
    BAD_HEAD("SMG-22 one", HEAD "X: 1\n\r\n", "bare_lf"),
    BAD_HEAD("SMG-22 last", HEAD "\n", "bare_lf"),
    BAD_HEAD("SMG-23", HEAD "X: a\rb\r\n\r\n", "bare_cr"),
    BAD_HEAD("SMG-23 end", HEAD "X: a\r\r\n\r\n", "bare_cr"),
    BAD_HEAD("SMG-24 name", HEAD "X\0: a\r\n\r\n", "control"),
    BAD_HEAD("SMG-24 value", HEAD "X: a\0\r\n\r\n", "control"),
    BAD_HEAD("SMG-24 method", "GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n", "control"),
    BAD_HEAD("SMG-24 target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "control"),
    BAD_HEAD("SMG-26 name", HEAD "X\x80: a\r\n\r\n", "name"),
    BAD_HEAD("SMG-27 first", "GET / HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n", "name"),
    BAD_HEAD("SMG-27 last", HEAD ": x\r\n\r\n", "name"),
    BAD_HEAD("SMG-28", HEAD "Foo\r\n\r\n", "no_colon"),
    BAD_HEAD("SMG-30", HEAD "X: a\r\n b\r\n\r\n", "fold"),
    BAD_HEAD("SMG-30 tab", HEAD "X: a\r\n\tb: c\r\n\r\n", "fold"),
    BAD_HEAD("SMG-30 first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "fold"),
    BAD_HEAD("SMG-52 0.9", "GET /\r\n\r\n", "request_line"),
    BAD_HEAD("SMG-52 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"),
    BAD_HEAD("SMG-52 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"),
    BAD_HEAD("SMG-52 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "version"),
    BAD_HEAD("SMG-52 case", "GET / http/1.1\r\nHost: a\r\n\r\n", "version_syntax"),
    BAD_HEAD("SMG-52 none", "GET / HTTP/\r\nHost: a\r\n\r\n", "version_syntax"),
    BAD_HEAD("SMG-54", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
    BAD_HEAD("SMG-54 empty", " / HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
    BAD_HEAD("SMG-54 long", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n",
             "method_size"),
    BAD_HEAD("SMG-55 blank", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 quote", "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 less", "GET /< HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 greater", "GET /> HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 backslash", "GET /\\ HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 caret", "GET /^ HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 brace", "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 80", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 fragment", "GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-55 tab", "GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    BAD_HEAD("SMG-56", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "host_differs"),
    BAD_HEAD("SMG-56 port", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_differs"),
    BAD_HEAD("SMG-57 star", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
    BAD_HEAD("SMG-57 authority", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
    BAD_HEAD("SMG-57 connect", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
    BAD_HEAD("SMG-57 connect without port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
    BAD_HEAD("SMG-51", "CONNECT 127.0.0.1:15000 HTTP/1.1\r\nHost: a\r\n\r\n", "connect"),
    BAD_HEAD("SMG-57 scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
    BAD_HEAD("SMG-57 userinfo", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
    BAD_HEAD("SMG-58", "GET / HTTP/1.1\r\nX: a\r\n\r\n", "host_missing"),
    BAD_HEAD("SMG-58 two", HEAD "Host: a\r\n\r\n", "host_twice"),
    BAD_HEAD("SMG-58 list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "host"),
    BAD_HEAD("SMG-58 empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "host"),
    BAD_HEAD("SMG-59 @", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "host"),
    BAD_HEAD("SMG-59 /", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "host"),
    BAD_HEAD("SMG-59 ?", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "host"),
    BAD_HEAD("SMG-59 blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "host"),
    BAD_HEAD("SMG-60 open", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "host"),
    BAD_HEAD("SMG-60 v4", "GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", "host"),
    BAD_HEAD("SMG-60 zone", "GET / HTTP/1.1\r\nHost: [::1%25eth0]\r\n\r\n", "host"),
    BAD_HEAD("SMG-60 after", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "host"),
    BAD_HEAD("SMG-60 port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "host"),
    BAD_HEAD("SMG-63", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "leading_lines"),
    BAD_HEAD("SMG-64 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "preface"),
    BAD_HEAD("SMG-64 TLS", "\x16\x03\x01\x02\x00\x01\x00", "control"),
    BAD_HEAD("expectation", HEAD "Expect: 200-ok\r\n\r\n", "expect"),
};

TEST(a_server_refuses_what_is_ambiguous_however_it_is_cut)
{
    limits = http_limits_default;
    EACH (row, refused) {
        for (size_t cut = 1; cut <= row->size; cut++) {
            struct bench bench;
            begin(&bench, HTTP_SERVER);
            recorder_feed(&bench.recorder, slice_of(row->wire, row->size), cut);
            char log[64];
            snprintf(log, sizeof(log), "refused %s\n", row->why);
            CHECK(strcmp(log_of(&bench), log) == 0, "%s, by %zu: got %s", row->name, cut,
                  log_of(&bench));
            CHECK(bench.h1.codec.closing && bench.h1.codec.refusal, "%s", row->name);
            CHECK(wire_holds(&bench, "\r\nconnection: close\r\n"), "%s", row->name);
            CHECK(count_of(bench.recorder.wire.data, "HTTP/1.1 ") == 1, "%s", row->name);
            end(&bench);
        }
    }
}

TEST(a_server_refuses_every_control_character_in_a_value)
{
    limits = http_limits_default;
    for (unsigned byte = 0; byte < 0x80; byte++) {
        if ((byte >= 0x20 && byte < 0x7f) || byte == '\t' || byte == '\r' || byte == '\n')
            continue;
        for (size_t at = 0; at < 40; at++) {
            char wire[128];
            int size = snprintf(wire, sizeof(wire), HEAD "X: %040d\r\n\r\n", 0);
            wire[sizeof(HEAD) - 1 + 3 + at] = (char)byte;
            struct bench bench;
            begin(&bench, HTTP_SERVER);
            recorder_feed(&bench.recorder, slice_of(wire, (size_t)size), (size_t)size);
            CHECK(strcmp(log_of(&bench), "refused control\n") == 0, "byte %02x at %zu: %s", byte,
                  at, log_of(&bench));
            end(&bench);
        }
    }
}

static const struct body {
    const char *name, *wire, *why;
} bad_bodies[] = {
    {"SMG-31 0x", "0x1\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 +", "+1\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 -", "-1\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 blank behind", "1 \r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 blank before", " 1\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 _", "1_0\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 empty", "\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-31 g", "g\r\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-32 17 digits", "10000000000000000\r\na\r\n", "chunk_size"},
    {"SMG-32 most", "ffffffffffffffff\r\na\r\n", "chunk_size"},
    {"SMG-32 zeros", "00000000000000001\r\na\r\n", "chunk_size"},
    {"SMG-33", "1\na\r\n0\r\n\r\n", "chunk_size"},
    {"SMG-34 LF", "1;\na\r\n0\r\n\r\n", "chunk_extension"},
    {"SMG-34 CR", "1;x\ry\r\na\r\n0\r\n\r\n", "bare_cr"},
    {"SMG-36 NUL-like", "1;\x01x\r\na\r\n0\r\n\r\n", "chunk_extension"},
    {"SMG-36 quoted LF", "1;a=\"\n\"\r\na\r\n", "chunk_extension"},
    {"SMG-36 quoted CR", "1;a=\"\r\n\"\r\na\r\n", "chunk_extension"},
    {"SMG-38", "1\r\nab\r\n0\r\n\r\n", "chunk_end"},
    {"SMG-38 CR", "1\r\na\rb", "chunk_end"},
    {"SMG-39 length", "0\r\nContent-Length: 1\r\n\r\n", "trailer"},
    {"SMG-39 coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "trailer"},
    {"SMG-39 host", "0\r\nHost: b\r\n\r\n", "trailer"},
    {"SMG-39 two hosts", "0\r\nHost: b\r\nHost: c\r\n\r\n", "trailer"},
    {"SMG-39 bad length", "0\r\nContent-Length: x\r\n\r\n", "trailer"},
    {"trailer LF", "0\r\nX: y\n\r\n", "bare_lf"},
    {"trailer name", "0\r\nX : y\r\n\r\n", "name"},
};

TEST(a_server_refuses_bad_chunks_however_they_are_cut)
{
    limits = http_limits_default;
    EACH (row, bad_bodies) {
        size_t size = strlen(row->wire);
        for (size_t cut = 1; cut <= size; cut++) {
            struct bench bench;
            begin(&bench, HTTP_SERVER);
            recorder_feed(&bench.recorder, SLICE(POST "Transfer-Encoding: chunked\r\n\r\n"), 999);
            recorder_feed(&bench.recorder, slice_of(row->wire, size), cut);
            char reset[64];
            snprintf(reset, sizeof(reset), "reset protocol %s\n", row->why);
            CHECK(strstr(log_of(&bench), reset), "%s, by %zu: got %s", row->name, cut,
                  log_of(&bench));
            CHECK(wire_holds(&bench, "HTTP/1.1 400 "), "%s", row->name);
            end(&bench);
        }
    }
}

/* --- limits: each with what just fits and one more ---------------------------------------------------------- */

static char *repeated(const char *before, const char *piece, size_t times, const char *after)
{
    struct buffer text = {0};
    buffer_append_str(&text, before);
    for (size_t i = 0; i < times; i++)
        buffer_append_str(&text, piece);
    buffer_append_str(&text, after);
    return buffer_take(&text);
}

static void check_limit(const char *name, char *wire, const char *log)
{
    static const size_t cuts[] = {1, 7, 1460, 16000};
    EACH (cut, cuts) {
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, slice_str(wire), *cut);
        CHECK(strncmp(log_of(&bench), log, strlen(log)) == 0, "%s by %zu: %.200s", name, *cut,
              log_of(&bench));
        end(&bench);
    }
    mem_free(wire);
}

TEST(a_head_may_have_so_many_fields_and_bytes_and_not_one_more)
{
    limits = http_limits_default;
    check_limit("100 fields", repeated(HEAD, "a: b\r\n", 99, "\r\n"), "request GET");
    check_limit("101 fields", repeated(HEAD, "a: b\r\n", 100, ""), "refused head_count");
    size_t head = sizeof(HEAD "x: \r\n\r\n") - 1;
    check_limit("60 KiB", repeated(HEAD "x: ", "y", 61440 - head, "\r\n\r\n"), "request GET");
    check_limit("60 KiB and 1", repeated(HEAD "x: ", "y", 61441 - head, "\r\n\r\n"),
                "refused head_size");
    check_limit("endless", repeated(HEAD "x: ", "y", 61440, ""), "refused head_size");
    check_limit("name of 1 KiB", repeated(HEAD, "y", 1024, ": 1\r\n\r\n"), "request GET");
    check_limit("name of 1 KiB and 1", repeated(HEAD, "y", 1025, ": 1\r\n\r\n"),
                "refused name_size");
    check_limit("target of 16 KiB", repeated("GET /", "y", 16383, " HTTP/1.1\r\nHost: a\r\n\r\n"),
                "request GET");
    check_limit("target of 16 KiB and 1",
                repeated("GET /", "y", 16384, " HTTP/1.1\r\nHost: a\r\n\r\n"),
                "refused target_size");
    check_limit("endless target", repeated("GET /", "y", 61440, ""), "refused target_size");
    check_limit("SMG-54 method of 8 KiB", repeated("", "G", 8192, " / HTTP/1.1\r\nHost: a\r\n\r\n"),
                "refused method_size");
    check_limit("SMG-07 400 digits", repeated(POST "Content-Length: ", "1", 400, "\r\n\r\n"),
                "refused length");
}

/* For admin interfaces: `curl .../stats?filter=^cluster\\.` sends such bytes as they are. */
TEST(a_lenient_query_may_hold_what_is_visible)
{
    static const struct {
        const char *target, *log;
    } rows[] = {
        {"/s?f=^a\\.{1}`<>\"", "request GET"}, {"/s^?f=a", "refused target\n"},
        {"/s?f=a#b", "refused target\n"},      {"/s?f=\x7f", "refused"},
        {"/s?f=\xc3\xa9", "refused target\n"}, {"/s^", "refused target\n"},
    };
    EACH (row, rows) {
        struct bench bench;
        owned_str wire = str_format("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", row->target);
        limits = http_limits_default;
        limits.lenient_query = true;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, slice_str(wire), strlen(wire));
        CHECK(strncmp(log_of(&bench), row->log, strlen(row->log)) == 0, "%s: %s", row->target,
              log_of(&bench));
        end(&bench);
    }
    limits = http_limits_default;
}

TEST(chunked_framing_may_cost_so_much_and_not_one_byte_more)
{
    limits = http_limits_default;
    const char *head = POST "Transfer-Encoding: chunked\r\n\r\n1;";
    check_limit("extension of 4 KiB", repeated(head, "x", 4095, "\r\na\r\n0\r\n\r\n"),
                "request POST /p host a length -1\ndata a\nend\n");
    check_limit("extension of 4 KiB and 1", repeated(head, "x", 4096, "\r\na\r\n0\r\n\r\n"),
                "request POST /p host a length -1\nreset protocol chunk_overhead\n");
    check_limit("SMG-35 many small chunks",
                repeated(POST "Transfer-Encoding: chunked\r\n\r\n",
                         "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n", 1000, ""),
                "request POST /p host a length -1\ndata a");
    char *wire = repeated(POST "Transfer-Encoding: chunked\r\n\r\n",
                          "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n", 1000, "");
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, slice_str(wire), 16000);
    CHECK(strstr(log_of(&bench), "reset protocol chunk_overhead"), "%s", log_of(&bench));
    end(&bench);
    mem_free(wire);
    head = POST "Transfer-Encoding: chunked\r\n\r\n0\r\nx: ";
    check_limit("trailers of 60 KiB", repeated(head, "y", 61440 - 7, "\r\n\r\n"),
                "request POST /p host a length -1\ntrailers\n");
    check_limit("SMG-40 trailers of 60 KiB and 1", repeated(head, "y", 61441 - 7, "\r\n\r\n"),
                "request POST /p host a length -1\nreset protocol trailer_size\n");
}

/* --- what a server says ------------------------------------------------------------------------------------- */

static struct chain text_chain(const char *text)
{
    struct chain chain = {0};
    chain_append_static(&chain, slice_str(text));
    return chain;
}

static void respond(struct bench *bench, unsigned status, int64_t length, bool is_end)
{
    struct http_response head;
    http_response_init(&head, status);
    head.content_length = length;
    http_stream_send_response(bench->recorder.stream, &head, is_end);
}

static void send_text(struct bench *bench, const char *text, bool is_end)
{
    struct chain data = text_chain(text);
    http_stream_send_data(bench->recorder.stream, &data, is_end);
    CHECK(chain_is_empty(&data));
}

static const struct answer {
    const char *name, *request;
    unsigned status;
    int64_t length;
    const char *body; /* NULL: the head ends it */
    const char *wire;
    bool closes;
} answers[] = {
    {"by length", HEAD "\r\n", 200, 5, "hello", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
     false},
    {"chunks", HEAD "\r\n", 200, -1, "hello",
     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
    {"no body", HEAD "\r\n", 404, -1, NULL, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
     false},
    {"204", HEAD "\r\n", 204, 5, NULL, "HTTP/1.1 204 No Content\r\n\r\n", false},
    {"304 tells the length", HEAD "\r\n", 304, 5, NULL,
     "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", false},
    {"HEAD tells the length", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 5, NULL,
     "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false},
    {"HEAD drops a body", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 5, "hello",
     "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false},
    {"HTTP/1.0 by close", "GET / HTTP/1.0\r\n\r\n", 200, -1, "hello",
     "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", true},
    {"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, 5, "hello",
     "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello", false},
    {"asked to close", HEAD "Connection: close\r\n\r\n", 200, 5, "hello",
     "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello", true},
    {"an unknown status", HEAD "\r\n", 799, 0, NULL,
     "HTTP/1.1 799 Unknown\r\ncontent-length: 0\r\n\r\n", false},
};

TEST(a_server_frames_its_answers)
{
    limits = http_limits_default;
    EACH (row, answers) {
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, slice_str(row->request), 999);
        respond(&bench, row->status, row->length, !row->body);
        if (row->body)
            send_text(&bench, row->body, true);
        CHECK(buffer_equals(&bench.recorder.wire, row->wire), "%s: got %s", row->name,
              bench.recorder.wire.data);
        CHECK(bench.h1.codec.closing == row->closes && !bench.h1.codec.broken, "%s", row->name);
        end(&bench);
    }
}

TEST(a_body_longer_or_shorter_than_declared_breaks_the_connection)
{
    limits = http_limits_default;
    static const char *const bodies[] = {"hell", "hello!"};
    EACH (body, bodies) {
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, SLICE(HEAD "\r\n"), 999);
        respond(&bench, 200, 5, false);
        send_text(&bench, *body, true);
        CHECK(bench.h1.codec.broken, "%s", *body);
        recorder_run(&bench.recorder);
        CHECK(strstr(log_of(&bench), "reset internal\n"), "%s", log_of(&bench));
        end(&bench);
    }
}

TEST(informational_responses_go_out_and_not_to_http_1_0)
{
    limits = http_limits_default;
    for (int old = 0; old < 2; old++) {
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, old ? SLICE("GET / HTTP/1.0\r\n\r\n") : SLICE(HEAD "\r\n"),
                      999);
        respond(&bench, 100, -1, false);
        respond(&bench, 103, -1, false);
        respond(&bench, 200, 0, true);
        const char *first =
            old ? "" : "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
        CHECK(strncmp(bench.recorder.wire.data, first, strlen(first)) == 0, "%s",
              bench.recorder.wire.data);
        CHECK(strstr(bench.recorder.wire.data, "HTTP/1.1 200 OK") ==
              bench.recorder.wire.data + strlen(first));
        end(&bench);
    }
}

TEST(an_early_error_closes_and_lingers_and_an_early_200_waits_for_the_request)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, SLICE(POST "Content-Length: 1000\r\n\r\nhalf"), 999);
    respond(&bench, 413, 0, true);
    CHECK(
        wire_holds(&bench, "413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n"));
    CHECK(!bench.h1.codec.closing, "the request may still be relayed");
    recorder_release(&bench.recorder, bench.recorder.stream);
    CHECK(bench.h1.codec.closing && bench.h1.codec.unread && !bench.h1.codec.broken);
    recorder_feed(&bench.recorder, SLICE("and more"), 999);
    CHECK(!strstr(log_of(&bench), "more"));
    end(&bench);

    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, SLICE(POST "Content-Length: 8\r\n\r\nhalf"), 999);
    respond(&bench, 200, 0, true);
    CHECK(!wire_holds(&bench, "close") && !bench.h1.codec.closing);
    recorder_feed(&bench.recorder, SLICE("half" HEAD "\r\n"), 999);
    CHECK(count_of(log_of(&bench), "request ") == 2, "%s", log_of(&bench));
    CHECK(!bench.h1.codec.closing);
    end(&bench);
}

TEST(a_response_that_is_given_up_breaks_the_connection)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, SLICE(HEAD "\r\n"), 999);
    respond(&bench, 200, 100, false);
    send_text(&bench, "half", false);
    recorder_release(&bench.recorder, bench.recorder.stream);
    CHECK(bench.h1.codec.broken);
    end(&bench);
}

TEST(drain_says_close_with_the_next_answer)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, SLICE(HEAD "\r\n"), 999);
    http_codec_drain(&bench.h1.codec);
    CHECK(!bench.h1.codec.closing);
    respond(&bench, 200, 0, true);
    CHECK(wire_holds(&bench, "connection: close\r\n") && bench.h1.codec.closing);
    end(&bench);
    begin(&bench, HTTP_SERVER);
    http_codec_drain(&bench.h1.codec);
    CHECK(bench.h1.codec.closing, "an idle connection closes at once");
    end(&bench);
}

TEST(a_clients_fin_after_its_request_is_no_cancel_unless_configured)
{
    for (int cancels = 0; cancels < 2; cancels++) {
        limits = http_limits_default;
        limits.fin_cancels = cancels;
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, SLICE(HEAD "\r\n"), 999);
        http_codec_eof(&bench.h1.codec, false);
        recorder_run(&bench.recorder);
        if (cancels) {
            CHECK(strstr(log_of(&bench), "reset cancel\n"), "%s", log_of(&bench));
        } else {
            respond(&bench, 200, 0, true);
            CHECK(wire_holds(&bench, "200 OK") && bench.h1.codec.closing && !bench.h1.codec.broken);
        }
        end(&bench);
    }
}

TEST(requests_that_were_pipelined_before_a_fin_are_answered)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder,
                  SLICE(HEAD "\r\n" HEAD "\r\n"
                             "GET"),
                  999);
    http_codec_eof(&bench.h1.codec, false);
    recorder_run(&bench.recorder);
    for (int i = 0; i < 2; i++) {
        respond(&bench, 200, 0, true);
        recorder_release(&bench.recorder, bench.recorder.stream);
        recorder_run(&bench.recorder);
    }
    CHECK(count_of(log_of(&bench), "request ") == 2 && bench.h1.codec.closing);
    end(&bench);
}

TEST(a_cut_body_resets_the_stream)
{
    limits = http_limits_default;
    static const char *const wires[] = {POST "Content-Length: 5\r\n\r\nhell",
                                        POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
                                        POST "Transfer-Encoding: chunked\r\n\r\n0\r\nx: "};
    EACH (wire, wires) {
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, slice_str(*wire), 3);
        http_codec_eof(&bench.h1.codec, false);
        CHECK(strstr(log_of(&bench), "reset truncated truncated\n"), "%s", log_of(&bench));
        CHECK(bench.h1.codec.broken);
        end(&bench);
    }
}

TEST(reading_stops_for_a_slow_consumer_and_goes_on_with_credit)
{
    limits = http_limits_default;
    limits.receive_window = 1000;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    bench.recorder.holds_credit = true;
    char body[1000];
    memset(body, 'x', sizeof(body));
    recorder_feed(&bench.recorder, SLICE(POST "Content-Length: 5000\r\n\r\n"), 999);
    recorder_feed(&bench.recorder, slice_of(body, 999), 500);
    CHECK(bench.h1.codec.wants_read);
    recorder_feed(&bench.recorder, slice_of(body, 1), 1);
    CHECK(!bench.h1.codec.wants_read);
    http_stream_consumed(bench.recorder.stream, 499);
    recorder_run(&bench.recorder);
    CHECK(!bench.h1.codec.wants_read, "half a window must be free first");
    http_stream_consumed(bench.recorder.stream, 1);
    CHECK(bench.recorder.wakes > 0);
    recorder_run(&bench.recorder);
    CHECK(bench.h1.codec.wants_read);
    end(&bench);
}

TEST(pipelined_requests_wait_within_a_window)
{
    limits = http_limits_default;
    limits.receive_window = 1000;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    char *wire = repeated("", HEAD "\r\n", 60, "");
    recorder_feed(&bench.recorder, slice_str(wire), 700);
    CHECK(!bench.h1.codec.wants_read && count_of(log_of(&bench), "request ") == 1);
    bench.recorder.answers = true;
    recorder_answer(&bench.recorder, bench.recorder.stream);
    recorder_run(&bench.recorder);
    CHECK(count_of(log_of(&bench), "request ") == 60, "%zu", count_of(log_of(&bench), "request "));
    CHECK(bench.h1.codec.wants_read);
    CHECK(count_of(bench.recorder.wire.data, "HTTP/1.1 200 OK") == 60);
    mem_free(wire);
    end(&bench);
}

TEST(bytes_that_the_socket_took_come_back_as_credit)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, SLICE(HEAD "\r\n"), 999);
    buffer_reset(&bench.recorder.log);
    respond(&bench, 200, 100, false);
    send_text(&bench, "0123456789", false);
    size_t backlog = bench.recorder.wire.size;
    http_codec_sent(&bench.h1.codec, backlog - 4, 4);
    http_codec_sent(&bench.h1.codec, 4, 0);
    CHECK(strcmp(log_of(&bench), "sent 6\nsent 4\n") == 0, "%s", log_of(&bench));
    end(&bench);
}

/* --- tunnels ------------------------------------------------------------------------------------------------ */

#define UPGRADE HEAD "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

TEST(an_upgrade_that_is_accepted_carries_bytes_both_ways)
{
    limits = http_limits_default;
    for (size_t cut = 1; cut < 100; cut += 9) {
        struct bench bench;
        begin(&bench, HTTP_SERVER);
        recorder_feed(&bench.recorder, SLICE(UPGRADE "early"), cut);
        CHECK(!strstr(log_of(&bench), "early"));
        struct http_response head;
        http_response_init(&head, 101);
        head.upgrade = SLICE("websocket");
        http_stream_send_response(bench.recorder.stream, &head, false);
        recorder_run(&bench.recorder);
        send_text(&bench, "down", false);
        recorder_feed(&bench.recorder, SLICE(" late"), cut);
        http_codec_eof(&bench.h1.codec, false);
        CHECK(strstr(log_of(&bench), "data early late\nend\n"), "%s", log_of(&bench));
        CHECK(!bench.h1.codec.closing, "our direction is still open");
        send_text(&bench, "!", true);
        CHECK(buffer_equals(&bench.recorder.wire,
                            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                            "upgrade: websocket\r\n\r\ndown!"),
              "%s", bench.recorder.wire.data);
        CHECK(bench.h1.codec.closing);
        end(&bench);
    }
}

TEST(an_upgrade_that_is_declined_leaves_http)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder, SLICE(UPGRADE HEAD "\r\n"), 50);
    respond(&bench, 426, 0, true);
    recorder_release(&bench.recorder, bench.recorder.stream);
    recorder_run(&bench.recorder);
    CHECK(count_of(log_of(&bench), "request ") == 2, "%s", log_of(&bench));
    CHECK(!bench.h1.codec.closing);
    end(&bench);
}

TEST(a_connect_that_is_declined_drops_what_came_early_and_closes)
{
    limits = http_limits_default;
    limits.allow_connect = true;
    struct bench bench;
    begin(&bench, HTTP_SERVER);
    recorder_feed(&bench.recorder,
                  SLICE("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n" HEAD "\r\n"), 999);
    respond(&bench, 403, 0, true);
    CHECK(wire_holds(&bench, "connection: close") && bench.h1.codec.closing);
    recorder_run(&bench.recorder);
    CHECK(count_of(log_of(&bench), "request ") == 1, "%s", log_of(&bench));
    end(&bench);
}

/* --- clients ------------------------------------------------------------------------------------------------ */

static struct http_stream *ask(struct bench *bench, enum http_method method, int64_t length,
                               bool is_end)
{
    struct http_request head;
    http_request_init(&head);
    http_request_set_method(&head, method);
    head.authority = SLICE("a");
    head.path = SLICE("/");
    head.content_length = length;
    struct http_stream *stream = http_codec_open(&bench->h1.codec, &bench->arena);
    CHECK(stream);
    stream->events = &recorder_events;
    stream->owner = &bench->recorder;
    bench->recorder.stream = stream;
    http_stream_send_request(stream, &head, is_end);
    bench->h1.codec.turn++;
    return stream;
}

static const struct response {
    const char *name, *wire, *log;
    bool reusable;
    enum http_method method;
} responses[] = {
    {"by length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     "response 200 length 5\n  Content-Length: 5\ndata hello\nend\n", true, HTTP_GET},
    {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     "response 200 length -1\ndata hello\nend\n", true, HTTP_GET},
    {"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n",
     "response 200 length -1\ntrailers\n  grpc-status: 0\nend\n", true, HTTP_GET},
    {"no reason, no body", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
     "response 404 length 0\n  Content-Length: 0\nend\n", true, HTTP_GET},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     "response 200 length 5\n  Content-Length: 5\nend\n", true, HTTP_HEAD},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", "response 204 length -1\nend\n", true, HTTP_GET},
    {"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
     "response 304 length 9\n  Content-Length: 9\nend\n", true, HTTP_GET},
    {"informational ones first",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "response 100 length -1\nresponse 103 length -1\n  Link: x\nresponse 200 length 0\n"
     "  Content-Length: 0\nend\n",
     true, HTTP_GET},
    {"Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
     "response 200 length 0\n  Content-Length: 0\nend\n", false, HTTP_GET},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
     "response 200 length 0\n  Content-Length: 0\nend\n", false, HTTP_GET},
    {"HTTP/1.0 keep-alive",
     "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
     "response 200 length 0\n  Content-Length: 0\nend\n", true, HTTP_GET},
    {"SMG-43 204 with a body", "HTTP/1.1 204 No\r\n\r\nbody", "response 204 length -1\nend\n",
     false, HTTP_GET},
    {"SMG-43 HEAD with a body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
     "response 200 length 4\n  Content-Length: 4\nend\n", false, HTTP_HEAD},
    {"SMG-44 a second response",
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "response 200 length 1\n  Content-Length: 1\ndata x\nend\n", false, HTTP_GET},
};

TEST(a_client_reads_the_same_response_however_it_is_cut)
{
    limits = http_limits_default;
    EACH (row, responses) {
        size_t size = strlen(row->wire);
        for (size_t cut = 1; cut <= size; cut++) {
            struct bench bench;
            begin(&bench, HTTP_CLIENT);
            ask(&bench, row->method, -1, true);
            recorder_feed(&bench.recorder, slice_of(row->wire, size), cut);
            CHECK(strcmp(log_of(&bench), row->log) == 0, "%s, by %zu: got\n%s", row->name, cut,
                  log_of(&bench));
            CHECK(http_codec_room(&bench.h1.codec) == (row->reusable ? 1 : 0), "%s, by %zu",
                  row->name, cut);
            CHECK((bench.h1.codec.broken || bench.h1.codec.closing) == !row->reusable, "%s",
                  row->name);
            end(&bench);
        }
    }
}

static const struct {
    const char *name, *wire, *why;
} bad_responses[] = {
    {"SMG-42 both", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "length_and_chunked"},
    {"SMG-42 twice", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
     "length_twice"},
    {"SMG-42 chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", "chunk_size"},
    {"SMG-42 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "coding_version"},
    {"SMG-46", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "upgrade"},
    {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare_lf"},
    {"no status", "HTTP/1.1 \r\n\r\n", "status_line"},
    {"short status", "HTTP/1.1 20 OK\r\n\r\n", "status_line"},
    {"status 099", "HTTP/1.1 099 OK\r\n\r\n", "status_line"},
    {"long status", "HTTP/1.1 2000 OK\r\n\r\n", "status_line"},
    {"version", "HTTP/2.0 200 OK\r\n\r\n", "version"},
    {"ICY", "ICY 200 OK\r\n\r\n", "status_line"},
    {"empty line", "\r\nHTTP/1.1 200 OK\r\n\r\n", "status_line"},
    {"204 chunked", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "coding_list"},
    {"100 chunked", "HTTP/1.1 100 No\r\nTransfer-Encoding: chunked\r\n\r\n", "coding_list"},
};

TEST(a_client_refuses_what_is_ambiguous)
{
    limits = http_limits_default;
    EACH (row, bad_responses) {
        size_t size = strlen(row->wire);
        for (size_t cut = 1; cut <= size; cut++) {
            struct bench bench;
            begin(&bench, HTTP_CLIENT);
            ask(&bench, HTTP_GET, -1, true);
            recorder_feed(&bench.recorder, slice_of(row->wire, size), cut);
            char reset[64];
            snprintf(reset, sizeof(reset), "reset protocol %s\n", row->why);
            CHECK(strstr(log_of(&bench), reset), "%s, by %zu: got %s", row->name, cut,
                  log_of(&bench));
            CHECK(bench.h1.codec.broken && http_codec_room(&bench.h1.codec) == 0);
            end(&bench);
        }
    }
}

TEST(a_response_without_length_lasts_until_the_connection_ends)
{
    limits = http_limits_default;
    for (int truncated = 0; truncated < 2; truncated++) {
        struct bench bench;
        begin(&bench, HTTP_CLIENT);
        ask(&bench, HTTP_GET, -1, true);
        recorder_feed(&bench.recorder, SLICE("HTTP/1.1 200 OK\r\n\r\nhello"), 4);
        http_codec_eof(&bench.h1.codec, truncated);
        CHECK(strstr(log_of(&bench),
                     truncated ? "data hello\nreset truncated truncated\n" : "data hello\nend\n"),
              "%s", log_of(&bench));
        CHECK(bench.h1.codec.closing || bench.h1.codec.broken);
        end(&bench);
    }
}

TEST(a_client_tells_whether_the_peer_may_have_seen_the_request)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_CLIENT);
    ask(&bench, HTTP_GET, -1, true);
    bench.h1.codec.turn--; /* the turn in which it was written has not ended */
    http_codec_eof(&bench.h1.codec, false);
    CHECK(strcmp(log_of(&bench), "reset disconnected unseen\n") == 0, "%s", log_of(&bench));
    end(&bench);

    begin(&bench, HTTP_CLIENT);
    ask(&bench, HTTP_GET, -1, true);
    http_codec_fail(&bench.h1.codec, HTTP_RESET_DISCONNECTED, NULL);
    CHECK(strcmp(log_of(&bench), "reset disconnected\n") == 0, "%s", log_of(&bench));
    end(&bench);

    begin(&bench, HTTP_CLIENT);
    ask(&bench, HTTP_GET, -1, true);
    recorder_feed(&bench.recorder, SLICE("HTTP/1.1 2"), 999);
    http_codec_eof(&bench.h1.codec, false);
    CHECK(strcmp(log_of(&bench), "reset truncated truncated\n") == 0, "%s", log_of(&bench));
    end(&bench);

    begin(&bench, HTTP_CLIENT);
    bench.h1.codec.established = false;
    ask(&bench, HTTP_POST, 0, true);
    http_codec_fail(&bench.h1.codec, HTTP_RESET_DISCONNECTED, NULL);
    CHECK(strcmp(log_of(&bench), "reset disconnected unseen\n") == 0, "%s", log_of(&bench));
    end(&bench);
}

/* Response queue poisoning: bytes that came before the question are no answer to it. */
TEST(bytes_that_nobody_asked_for_are_never_the_answer_to_the_next_request)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_CLIENT);
    recorder_feed(&bench.recorder, SLICE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 999);
    CHECK(bench.h1.codec.broken && http_codec_room(&bench.h1.codec) == 0);
    CHECK(bench.h1.codec.refusal == HTTP_REFUSAL_SURPLUS);
    end(&bench);

    begin(&bench, HTTP_CLIENT);
    ask(&bench, HTTP_GET, -1, true);
    bench.h1.codec.turn -= 2; /* recorder_feed begins a turn of its own */
    bench.h1.begin_turn = bench.h1.codec.turn + 1;
    recorder_feed(&bench.recorder, SLICE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 999);
    CHECK(strcmp(log_of(&bench), "reset disconnected surplus unseen\n") == 0, "%s", log_of(&bench));
    end(&bench);
}

TEST(a_flood_of_informational_responses_ends)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_CLIENT);
    ask(&bench, HTTP_GET, -1, true);
    for (unsigned i = 0; i < limits.max_informational; i++)
        recorder_feed(&bench.recorder, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), 999);
    CHECK(!strstr(log_of(&bench), "reset"));
    recorder_feed(&bench.recorder, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), 999);
    CHECK(strstr(log_of(&bench), "reset protocol informational\n"), "%s", log_of(&bench));
    end(&bench);
}

static const struct {
    const char *name;
    enum http_method method;
    int64_t length;
    const char *body, *wire;
} requests[] = {
    {"GET", HTTP_GET, -1, NULL, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"},
    {"POST without a body", HTTP_POST, -1, NULL,
     "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
    {"POST by length", HTTP_POST, 5, "hello",
     "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"},
    {"POST in chunks", HTTP_POST, -1, "hello",
     "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
};

TEST(a_client_frames_its_requests)
{
    limits = http_limits_default;
    EACH (row, requests) {
        struct bench bench;
        begin(&bench, HTTP_CLIENT);
        ask(&bench, row->method, row->length, !row->body);
        if (row->body)
            send_text(&bench, row->body, true);
        CHECK(buffer_equals(&bench.recorder.wire, row->wire), "%s: got %s", row->name,
              bench.recorder.wire.data);
        end(&bench);
    }
}

TEST(a_response_before_the_requests_end_is_heard_at_once_and_the_connection_reused_only_when_whole)
{
    limits = http_limits_default;
    for (int whole = 0; whole < 2; whole++) {
        struct bench bench;
        begin(&bench, HTTP_CLIENT);
        ask(&bench, HTTP_POST, 8, false);
        send_text(&bench, "half", false);
        recorder_feed(&bench.recorder, SLICE("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"), 9);
        CHECK(strstr(log_of(&bench), "response 413"));
        CHECK(http_codec_room(&bench.h1.codec) == 0);
        if (whole)
            send_text(&bench, "half", true);
        recorder_release(&bench.recorder, bench.recorder.stream);
        CHECK(http_codec_room(&bench.h1.codec) == (whole ? 1 : 0));
        CHECK(bench.h1.codec.broken == !whole);
        end(&bench);
    }
}

TEST(a_client_tunnels_when_the_answer_says_so)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_CLIENT);
    struct http_request head;
    http_request_init(&head);
    http_request_set_method(&head, HTTP_GET);
    head.authority = SLICE("a");
    head.path = SLICE("/");
    head.upgrade = SLICE("websocket");
    struct http_stream *stream = http_codec_open(&bench.h1.codec, &bench.arena);
    stream->events = &recorder_events;
    stream->owner = &bench.recorder;
    bench.recorder.stream = stream;
    http_stream_send_request(stream, &head, false);
    recorder_feed(&bench.recorder,
                  SLICE("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nup"),
                  5);
    send_text(&bench, "down", true);
    CHECK(bench.h1.codec.half_close && !bench.h1.codec.closing);
    http_codec_eof(&bench.h1.codec, false);
    CHECK(strcmp(log_of(&bench), "response 101 length -1 upgrade websocket\ndata up\nend\n") == 0,
          "%s", log_of(&bench));
    CHECK(buffer_equals(&bench.recorder.wire, "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n"
                                              "upgrade: websocket\r\n\r\ndown"),
          "%s", bench.recorder.wire.data);
    CHECK(bench.h1.codec.closing);
    end(&bench);
}

TEST(a_refused_connect_is_the_last_request_of_its_connection)
{
    limits = http_limits_default;
    struct bench bench;
    begin(&bench, HTTP_CLIENT);
    struct http_request head;
    http_request_init(&head);
    http_request_set_method(&head, HTTP_CONNECT);
    head.authority = SLICE("a:80");
    struct http_stream *stream = http_codec_open(&bench.h1.codec, &bench.arena);
    stream->events = &recorder_events;
    stream->owner = &bench.recorder;
    bench.recorder.stream = stream;
    http_stream_send_request(stream, &head, false);
    recorder_feed(&bench.recorder, SLICE("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), 9);
    CHECK(strstr(log_of(&bench), "response 403"), "%s", log_of(&bench));
    CHECK(http_codec_room(&bench.h1.codec) == 0 && bench.h1.codec.closing, "SMG-50");
    end(&bench);
}

/* The consumer may leave inside any event; the codec then touches nothing that went with it. */
static void leave_on_response(struct http_stream *stream, struct http_response *head, bool is_end)
{
    struct bench *bench = stream->owner;
    (void)head, (void)is_end;
    bench->recorder.stream = NULL;
    http_stream_release(stream);
    arena_fini(&bench->arena);
}

TEST(a_client_stream_may_be_released_with_its_memory_inside_an_event)
{
    limits = http_limits_default;
    static const char *const wires[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    static const struct http_stream_events events = {.on_response = leave_on_response};
    EACH (wire, wires) {
        struct bench bench;
        begin(&bench, HTTP_CLIENT);
        struct http_stream *stream = ask(&bench, HTTP_GET, -1, true);
        stream->events = &events;
        stream->owner = &bench;
        recorder_feed(&bench.recorder, slice_str(*wire), 999);
        end(&bench);
    }
}

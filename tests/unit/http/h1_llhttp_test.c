/*
 * Random requests, read by us and by llhttp (strict): where both accept, they read the same method, target, fields and
 * body; where only one accepts, the reason is in a table below and says why that is right.
 */
/* Its names for methods are ours too, so they are renamed while it is read. */
#ifdef TULLE_HAS_LLHTTP
#define HTTP_DELETE LLHTTP_DELETE
#define HTTP_GET LLHTTP_GET
#define HTTP_HEAD LLHTTP_HEAD
#define HTTP_POST LLHTTP_POST
#define HTTP_PUT LLHTTP_PUT
#define HTTP_CONNECT LLHTTP_CONNECT
#define HTTP_OPTIONS LLHTTP_OPTIONS
#define HTTP_TRACE LLHTTP_TRACE
#define HTTP_PATCH LLHTTP_PATCH
#include <llhttp.h>
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_CONNECT
#undef HTTP_OPTIONS
#undef HTTP_TRACE
#undef HTTP_PATCH
#endif

#include "http/h1.h"

#include "base/memory.h"
#include "base/random.h"
#include "recorder.h"
#include "test.h"

#ifndef TULLE_HAS_LLHTTP
TEST(llhttp_is_not_installed)
{
    print_message("script/setup test installs node-llhttp, the oracle of this test\n");
}
#else

/* One reader's account: each message in a line, and how it ended. */
struct reading {
    struct buffer text;
    unsigned whole;
    size_t whole_size; /* of the text, when the last of them ended */
    bool is_refused, is_tunnel, has_connection;
    enum http_refusal refusal;
    int error;
    struct buffer name, value;
    bool in_value, in_trailers;
};

static bool is_compared(struct slice name)
{
    enum header_id id = header_id_of(name);
    /* Imitations with "_" are dropped by us (SMG-17). */
    return !header_is_hop_by_hop(id) && id != HEADER_TE && id != HEADER_CONTENT_LENGTH &&
           !memchr(name.data, '_', name.size);
}

static void say_field(struct reading *reading, struct slice name, struct slice value)
{
    if (is_compared(name) && !reading->in_trailers)
        buffer_format(&reading->text, "  %.*s: %.*s\n", SLICE_ARG(name), SLICE_ARG(value));
}

/* --- ours --------------------------------------------------------------------------------------------------- */

static void our_end(struct reading *reading, struct http_stream *stream)
{
    struct http_response head;
    reading->whole++;
    buffer_append_str(&reading->text, "\n.\n");
    reading->whole_size = reading->text.size;
    http_response_init(&head, 204);
    http_stream_send_response(stream, &head, true);
    http_stream_release(stream);
}
static void our_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct reading *reading = stream->owner;
    http_stream_consumed(stream, data->size);
    while (data->size > 0) {
        struct slice front = chain_front(data);
        buffer_append_slice(&reading->text, front);
        chain_consume(data, front.size);
    }
    if (is_end)
        our_end(reading, stream);
}
static void our_trailers(struct http_stream *stream, struct headers *trailers)
{
    (void)trailers;
    our_end(stream->owner, stream);
}
static void our_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct reading *reading = stream->owner;
    if (reset->refusal && reset->refusal != HTTP_REFUSAL_TRUNCATED) {
        reading->is_refused = true;
        reading->refusal = (enum http_refusal)reset->refusal;
    }
    http_stream_release(stream);
}
static const struct http_stream_events our_events = {
    .on_data = our_data, .on_trailers = our_trailers, .on_reset = our_reset};

static void our_request(struct http_codec *codec, struct http_stream *stream)
{
    struct reading *reading = codec->owner;
    const struct http_request *request = stream->request;
    stream->events = &our_events;
    stream->owner = reading;
    struct slice target = request->method == HTTP_CONNECT ? request->authority : request->path;
    buffer_format(&reading->text, "%.*s %.*s\n", SLICE_ARG(request->method_text),
                  SLICE_ARG(target));
    HEADERS_EACH (header, &request->headers)
        say_field(reading, header_name(header), header_value(header));
    if (stream->in == HTTP_OPEN && (stream->method == HTTP_CONNECT || request->upgrade.size > 0)) {
        reading->is_tunnel = true; /* what follows is another protocol's */
        our_end(reading, stream);
    } else if (stream->in == HTTP_ENDED) {
        our_end(reading, stream);
    }
}
static void our_refused(struct http_codec *codec, enum http_refusal refusal)
{
    struct reading *reading = codec->owner;
    reading->is_refused = !reading->is_tunnel;
    reading->refusal = refusal;
}
static void drop(struct http_codec *codec, struct chain *bytes)
{
    (void)codec;
    chain_fini(bytes);
}
static void nothing(struct http_codec *codec)
{
    (void)codec;
}
static const struct http_codec_events quiet = {
    .write = drop, .wake = nothing, .wake_next = nothing};
static const struct http_codec_consumer our_consumer = {.on_request = our_request,
                                                        .on_refused = our_refused};

static void read_ours(struct reading *reading, struct block_pool *pool, struct slice bytes)
{
    static struct http_limits limits;
    struct h1 h1;
    limits = http_limits_default;
    limits.allow_connect = true;
    h1_init(&h1, HTTP_SERVER, &quiet, &our_consumer, &limits, pool, reading);
    struct block *block = block_alloc(pool, BLOCK_LARGE);
    memcpy(block->bytes, bytes.data, bytes.size);
    http_codec_read(&h1.codec, block, block->bytes, bytes.size);
    for (int i = 0; i < 4; i++)
        http_codec_run(&h1.codec);
    http_codec_eof(&h1.codec, false);
    http_codec_destroy(&h1.codec);
}

/* --- theirs ------------------------------------------------------------------------------------------------- */

static void their_field_ends(struct reading *reading)
{
    if (!reading->in_value)
        return;
    reading->in_value = false;
    struct slice name = buffer_slice(&reading->name);
    struct slice value = slice_trim(buffer_slice(&reading->value));
    if (slice_equals_nocase(name, SLICE("connection")))
        reading->has_connection = true;
    say_field(reading, name, value);
    buffer_reset(&reading->name);
    buffer_reset(&reading->value);
}
static int their_begin(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    buffer_reset(&reading->name);
    buffer_reset(&reading->value);
    reading->in_value = reading->in_trailers = false;
    return 0;
}
static int their_url(llhttp_t *parser, const char *at, size_t size)
{
    struct reading *reading = parser->data;
    buffer_append(&reading->value, at, size);
    return 0;
}
static int their_url_complete(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    struct slice url = buffer_slice(&reading->value);
    /* We part an absolute target into authority and path. */
    if (parser->method != LLHTTP_CONNECT && url.size > 7 &&
        slice_equals_nocase(slice_first(url, 7), SLICE("http://"))) {
        url = slice_from(url, 7);
        size_t slash = slice_find_byte(url, '/');
        url = slash < url.size ? slice_from(url, slash) : SLICE("/");
    }
    buffer_format(&reading->text, "%s %.*s\n", llhttp_method_name((llhttp_method_t)parser->method),
                  SLICE_ARG(url));
    buffer_reset(&reading->value);
    return 0;
}
static int their_name(llhttp_t *parser, const char *at, size_t size)
{
    struct reading *reading = parser->data;
    their_field_ends(reading);
    buffer_append(&reading->name, at, size);
    return 0;
}
static int their_value(llhttp_t *parser, const char *at, size_t size)
{
    struct reading *reading = parser->data;
    reading->in_value = true;
    buffer_append(&reading->value, at, size);
    return 0;
}
static int their_value_complete(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    reading->in_value = true; /* also when it is empty */
    return 0;
}
static int their_head(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    their_field_ends(reading);
    reading->in_trailers = true;
    return 0;
}
static int their_body(llhttp_t *parser, const char *at, size_t size)
{
    struct reading *reading = parser->data;
    buffer_append(&reading->text, at, size);
    return 0;
}
static int their_end(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    buffer_reset(&reading->name);
    buffer_reset(&reading->value);
    reading->in_value = false;
    buffer_append_str(&reading->text, "\n.\n");
    reading->whole++;
    reading->whole_size = reading->text.size;
    return 0;
}

static void read_theirs(struct reading *reading, struct slice bytes)
{
    llhttp_t parser;
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_message_begin = their_begin;
    settings.on_url = their_url;
    settings.on_url_complete = their_url_complete;
    settings.on_header_field = their_name;
    settings.on_header_value = their_value;
    settings.on_header_value_complete = their_value_complete;
    settings.on_headers_complete = their_head;
    settings.on_body = their_body;
    settings.on_message_complete = their_end;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = reading;
    reading->error = (int)llhttp_execute(&parser, bytes.data, bytes.size);
    reading->is_tunnel = reading->error == HPE_PAUSED_UPGRADE;
    reading->is_refused = reading->error != HPE_OK && !reading->is_tunnel;
    buffer_fini(&reading->name);
    buffer_fini(&reading->value);
}

/* --- why we refuse what llhttp takes ---------------------------------------------------------------------------- */

static bool is_stricter(enum http_refusal refusal)
{
    switch ((int)refusal) {
    /* llhttp looks at neither hosts nor the form of targets (SMG-55 to -60). */
    case HTTP_REFUSAL_HOST_MISSING:
    case HTTP_REFUSAL_HOST_TWICE:
    case HTTP_REFUSAL_HOST:
    case HTTP_REFUSAL_HOST_DIFFERS:
    case HTTP_REFUSAL_TARGET:
    case HTTP_REFUSAL_TARGET_FORM:
    /* It takes HTTP/0.9 and 2.0 (SMG-52), and an absent version as 0.9. */
    case HTTP_REFUSAL_VERSION:
    case HTTP_REFUSAL_REQUEST_LINE:
    case HTTP_REFUSAL_VERSION_SYNTAX:
    case HTTP_REFUSAL_PREFACE:
    /* Bare LF may end a line for it, and lines may be continued (SMG-14, -22, -30). */
    case HTTP_REFUSAL_BARE_LF:
    case HTTP_REFUSAL_FOLD:
    /* Any number of empty lines, or parts of them, may stand before a request (SMG-63). */
    case HTTP_REFUSAL_LEADING_LINES:
    case HTTP_REFUSAL_BARE_CR:
    /* It does not judge codings but chunked at the end, nor HTTP/1.0's (SMG-09 to -11, -15). */
    case HTTP_REFUSAL_CODING:
    case HTTP_REFUSAL_CODING_LIST:
    case HTTP_REFUSAL_CODING_VERSION:
    /* A CONNECT with a body, an expectation that nobody can meet, a blank name in a trailer. */
    case HTTP_REFUSAL_LENGTH:
    case HTTP_REFUSAL_EXPECT:
    case HTTP_REFUSAL_TRAILER:
    /* Extensions and sizes of chunks (SMG-31, -34, -36). */
    case HTTP_REFUSAL_CHUNK_SIZE:
    case HTTP_REFUSAL_CHUNK_EXTENSION:
    case HTTP_REFUSAL_CHUNK_OVERHEAD:
    /* It stops looking once an upgrade or the last message is there. */
    case HTTP_REFUSAL_NAME:
    case HTTP_REFUSAL_NO_COLON:
    case HTTP_REFUSAL_METHOD:
    case HTTP_REFUSAL_METHOD_SIZE: return true;
    }
    return false;
}

/* Why llhttp refuses what we take. */
static bool is_fussier(int error, struct slice bytes)
{
    switch (error) {
    case HPE_INVALID_METHOD: return true;    /* knows only a list of methods */
    case HPE_INVALID_URL: return true;       /* one form a method: no "|", no host with "_" */
    case HPE_CLOSED_CONNECTION: return true; /* bytes behind Connection: close, which we drop */
    case HPE_STRICT:
    case HPE_INVALID_CHUNK_SIZE: return true; /* chunk extensions, which we drop unread */
    case HPE_INVALID_CONSTANT:
        return true; /* a method's name cut off by a version of its own */
    /* A second Transfer-Encoding or Content-Length behind Upgrade: refused by us later, or not read. */
    case HPE_UNEXPECTED_CONTENT_LENGTH: return slice_find(bytes, SLICE("pgrade")) != SIZE_MAX;
    /* A tab behind a value is a blank like any other (SMG-16). */
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING: return slice_find(bytes, SLICE("\t\r\n")) != SIZE_MAX;
    }
    return false;
}

/* --- requests at random ------------------------------------------------------------------------------------------ */

static const char *const seeds[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a/b?c=d HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: "
    "a\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
    "chunked\r\n\r\n3\r\nfoo\r\n4;x=y\r\nbars\r\n0\r\n\r\n",
    "PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: "
    "1\r\n\r\n"
    "GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a/x HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\nX-Empty:\r\nX-Tabs:\t v \t\r\n\r\n",
    "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /y HTTP/1.0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nbytes",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
};
static const char *const words[] = {
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "\r\n ",
    "chunked",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Host: b\r\n",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\n\r\n",
    "ffffffffffffffffff",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "\x80",
    "%00",
    "/../",
    "_",
    "+",
    "-",
    "\"",
};

static size_t mutate(struct random *random, char *text, size_t size, size_t room)
{
    for (unsigned edits = 1 + (unsigned)random_below(random, 3); edits > 0; edits--) {
        size_t at = random_below(random, size + 1);
        const char *word = words[random_below(random, COUNT(words))];
        size_t word_size = strlen(word);
        switch (random_below(random, 4)) {
        case 0: /* another byte */
            if (at < size)
                text[at] = (char)random_below(random, random_below(random, 4) ? 128 : 256);
            break;
        case 1: /* a piece less */ {
            size_t less = MIN(size - at, (size_t)random_below(random, 8));
            memmove(text + at, text + at + less, size - at - less);
            size -= less;
            break;
        }
        case 2: /* a word more */
            if (size + word_size > room)
                break;
            memmove(text + at + word_size, text + at, size - at);
            memcpy(text + at, word, word_size);
            size += word_size;
            break;
        case 3: /* a word over what was there */
            if (at + word_size <= size)
                memcpy(text + at, word, word_size);
            break;
        }
    }
    return size;
}

static void compare(struct block_pool *pool, struct slice bytes, unsigned seed)
{
    struct reading ours = {0}, theirs = {0};
    read_ours(&ours, pool, bytes);
    read_theirs(&theirs, bytes);
    struct slice our_text = slice_of(ours.text.data, ours.whole_size);
    struct slice their_text = slice_of(theirs.text.data, theirs.whole_size);
    /* An Upgrade that is no protocol's name is none for us, so what follows is read as HTTP. */
    if (ours.is_refused && !theirs.is_refused && !theirs.is_tunnel)
        CHECK(is_stricter(ours.refusal), "seed %u: only we refuse, for %s:\n%.*s", seed,
              http_refusal_name(ours.refusal), SLICE_ARG(bytes));
    if (theirs.is_refused && !ours.is_refused && theirs.whole < ours.whole)
        CHECK(is_fussier(theirs.error, bytes), "seed %u: only llhttp refuses, for %s:\n%.*s", seed,
              llhttp_errno_name((llhttp_errno_t)theirs.error), SLICE_ARG(bytes));
    bool both = !ours.is_refused && !theirs.is_refused && !ours.is_tunnel && !theirs.is_tunnel;
    if (both && !theirs.has_connection && ours.whole == theirs.whole)
        CHECK(slice_equals(our_text, their_text),
              "seed %u: we read\n%.*s\nllhttp reads\n%.*s\nof\n%.*s", seed, SLICE_ARG(our_text),
              SLICE_ARG(their_text), SLICE_ARG(bytes));
    if (both && !theirs.has_connection)
        CHECK(ours.whole == theirs.whole, "seed %u: %u and %u messages in\n%.*s", seed, ours.whole,
              theirs.whole, SLICE_ARG(bytes));
    buffer_fini(&ours.text);
    buffer_fini(&theirs.text);
}

TEST(we_and_llhttp_differ_for_good_reasons_only)
{
    enum { TRIES = 300000 };
    struct block_pool *pool = block_pool_create(NULL);
    for (unsigned seed = 0; seed < TRIES; seed++) {
        struct random random;
        char text[2048];
        random_seed(&random, seed);
        const char *start = seeds[random_below(&random, COUNT(seeds))];
        size_t size = strlen(start);
        memcpy(text, start, size);
        if (seed >= COUNT(seeds))
            size = mutate(&random, text, size, sizeof(text));
        compare(pool, slice_of(text, size), seed);
    }
    block_pool_destroy(pool);
}
#endif

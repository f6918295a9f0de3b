#include "http/h2.h"

#include "base/slab_heap.h"
#include "recorder.h"
#include "test.h"

/*
 * Messages on stream 1 as frames: "H" and "D", in capitals without and in small letters with END_STREAM, then what is
 * in them. A field is "name=value", fields end with "|"; a pseudo-header's name begins with ":".
 */
struct message {
    const char *name;
    const char *frames[5];
    bool is_well;
};

#define GET ":method=GET|:scheme=http|:path=/|:authority=a|"
#define POST ":method=POST|:scheme=http|:path=/|:authority=a|"

static const struct message requests[] = {
    {"a request", {"h" GET}, true},
    {"a body", {"H" POST "content-length=5|", "Dhel", "dlo"}, true},
    {"a body of unknown length", {"H" POST, "Dhel", "dlo"}, true},
    {"an empty body", {"H" POST "content-length=0|", "d"}, true},
    {"trailers", {"H" POST "content-length=3|", "Dhel", "hx=y|"}, true},
    {"a body shorter than said", {"H" POST "content-length=5|", "Dhel", "d"}, false},
    {"a body longer than said", {"H" POST "content-length=5|", "Dhello!"}, false},
    {"longer with its end", {"H" POST "content-length=5|", "dhello!"}, false},
    {"trailers after too little", {"H" POST "content-length=5|", "Dhel", "hx=y|"}, false},
    {"no body where one was said", {"h" POST "content-length=5|"}, false},
    {"a length that is none", {"H" POST "content-length=5x|"}, false},
    {"a length with a sign", {"H" POST "content-length=+5|"}, false},
    {"an empty length", {"H" POST "content-length=|"}, false},
    {"a length past counting", {"H" POST "content-length=9223372036854775808|"}, false},
    {"two lengths", {"H" POST "content-length=5|content-length=5|"}, false},
    {"a length in trailers", {"H" POST, "Dhel", "hcontent-length=7|"}, true},
    {"trailers that do not end", {"H" POST, "Dhel", "Hx=y|"}, false},
    {"a pseudo-header in trailers", {"H" POST, "Dhel", "h:path=/|"}, false},
    {"a known name in capitals", {"h" GET "Accept=a|"}, false},
    {"a name in capitals", {"h" GET "x-Y=a|"}, false},
    {"a name of nothing", {"h" GET "=a|"}, false},
    {"a colon within a name", {"h" GET "a:b=c|"}, false},
    {"a parenthesis in a name", {"h" GET "a(b=c|"}, false},
    {"a byte past ASCII in a name", {"h" GET "a\xc3\xa4=c|"}, false},
    {"every other character in a name", {"h" GET "!#$%&'*+-.^_`~09az=c|"}, true},
    {"a byte past ASCII in a value", {"h" GET "a=\xc3\xa4|"}, true},
    {"a tab within a value", {"h" GET "a=b\tc|"}, true},
    {"a tab before a value", {"h" GET "a=\tc|"}, false},
    {"a blank after a value", {"h" GET "a=c |"}, false},
    {"a blank for a value", {"h" GET "a= |"}, false},
    {"no value", {"h" GET "a=|"}, true},
    {"a control in a known field", {"h" GET "accept=a\x7f|"}, false},
    {"te", {"h" GET "te=Trailers|"}, true},
    {"another te", {"h" GET "te=trailers, gzip|"}, false},
    {"proxy-connection", {"h" GET "proxy-connection=close|"}, false},
    {"no method", {"h:scheme=http|:path=/|:authority=a|"}, false},
    {"no scheme", {"h:method=GET|:path=/|:authority=a|"}, false},
    {"an empty path", {"h:method=GET|:scheme=http|:path=|:authority=a|"}, false},
    {"an empty authority", {"h:method=GET|:scheme=http|:path=/|:authority=|host=a|"}, false},
    {"two methods", {"h" GET ":method=GET|"}, false},
    {"a pseudo-header after a dropped field",
     {"h:method=GET|:scheme=http|a_b=c|:path=/|:authority=a|"},
     false},
    {"a response's", {"h" GET ":status=200|"}, false},
    {"a pseudo-header of no name", {"h" GET ":=x|"}, false},
    {"one in capitals", {"h:method=GET|:scheme=http|:Path=/|:authority=a|"}, false},
    {"CONNECT", {"H:method=CONNECT|:authority=a:1|"}, true},
    {"CONNECT with a scheme", {"H:method=CONNECT|:authority=a:1|:scheme=http|"}, false},
    {"CONNECT with a path", {"H:method=CONNECT|:authority=a:1|:path=/|"}, false},
    {"CONNECT of a host field", {"H:method=CONNECT|host=a:1|"}, false},
    {"extended CONNECT", {"H:method=CONNECT|:protocol=x|:scheme=http|:path=/|:authority=a|"}, true},
    {"extended without a path", {"H:method=CONNECT|:protocol=x|:scheme=http|:authority=a|"}, false},
    {"extended without authority",
     {"H:method=CONNECT|:protocol=x|:scheme=http|:path=/|host=a|"},
     false},
    {"extended GET", {"H" GET ":protocol=x|"}, false},
};

static const struct message responses[] = {
    {"a response", {"h:status=200|"}, true},
    {"a body", {"H:status=200|content-length=5|", "Dhel", "dlo"}, true},
    {"trailers", {"H:status=200|content-length=3|", "Dhel", "hx=y|"}, true},
    {"one after an informational", {"H:status=103|", "h:status=200|"}, true},
    {"a body shorter than said", {"H:status=200|content-length=5|", "dhel"}, false},
    {"a body longer than said", {"H:status=200|content-length=5|", "Dhello!"}, false},
    {"no body where one was said", {"h:status=200|content-length=5|"}, false},
    {"two lengths", {"H:status=200|content-length=5|content-length=5|"}, false},
    {"a length that is none", {"H:status=200|content-length=-1|"}, false},
    {"304 with a length", {"h:status=304|content-length=5|"}, true},
    {"304 with a body", {"H:status=304|content-length=5|", "dhello"}, false},
    {"204 with a body", {"H:status=204|", "dhello"}, false},
    {"204 with no length", {"h:status=204|content-length=0|"}, true},
    {"204 with a length", {"h:status=204|content-length=5|"}, false},
    {"an informational with a length", {"H:status=103|content-length=0|"}, false},
    {"an informational that ends", {"h:status=103|"}, false},
    {"a body after an informational", {"H:status=103|", "dx"}, false},
    {"a second head", {"H:status=200|", "Hx=y|"}, false},
    {"a second head with a status", {"H:status=200|", "h:status=200|"}, false},
    {"101", {"H:status=101|"}, false},
    {"no status", {"hx=y|"}, false},
    {"a status of two digits", {"h:status=20|"}, false},
    {"a status of four", {"h:status=0200|"}, false},
    {"a status of letters", {"h:status=2x0|"}, false},
    {"two", {"h:status=200|:status=200|"}, false},
    {"a request's", {"h:status=200|:path=/|"}, false},
    {"a status behind a field", {"hx=y|:status=200|"}, false},
    {"a name in capitals", {"h:status=200|Server=x|"}, false},
    {"a connection's field", {"h:status=200|connection=close|"}, false},
    {"a transfer coding", {"h:status=200|transfer-encoding=chunked|"}, false},
    {"a line's end in a value", {"h:status=200|x=a\r\nb|"}, false},
};

/* --- frames --------------------------------------------------------------------------------- */

static void put_frame(struct buffer *to, uint8_t type, uint8_t flags, uint32_t id,
                      struct slice payload)
{
    uint8_t head[9] = {
        0, (uint8_t)(payload.size >> 8), (uint8_t)payload.size, type, flags, 0, 0, 0, (uint8_t)id};
    buffer_append_slice(to, slice_of((char *)head, sizeof(head)));
    buffer_append_slice(to, payload);
}

static void put_text(struct buffer *to, struct slice text)
{
    char size = (char)text.size;
    CHECK(text.size < 127);
    buffer_append_slice(to, slice_of(&size, 1));
    buffer_append_slice(to, text);
}

/* Each field as a literal that enters no table. */
static struct buffer block_of(struct slice fields)
{
    struct buffer block = {0};
    while (fields.size > 0) {
        const char *end = memchr(fields.data, '|', fields.size);
        CHECK(end != NULL);
        struct slice field = slice_take(&fields, (size_t)(end - fields.data));
        slice_take(&fields, 1);
        const char *equals = memchr(field.data, '=', field.size);
        CHECK(equals != NULL);
        buffer_append_slice(&block, slice_of("\0", 1));
        put_text(&block, slice_take(&field, (size_t)(equals - field.data)));
        slice_take(&field, 1);
        put_text(&block, field);
    }
    return block;
}

static void put_message_frame(struct buffer *to, const char *frame)
{
    enum { DATA = 0, HEADERS = 1, END_STREAM = 1, END_HEADERS = 4 };
    uint8_t end = frame[0] >= 'a' ? END_STREAM : 0;
    if ((frame[0] | 0x20) == 'd') {
        put_frame(to, DATA, end, 1, slice_str(frame + 1));
        return;
    }
    struct buffer block = block_of(slice_str(frame + 1));
    put_frame(to, HEADERS, end | END_HEADERS, 1, buffer_slice(&block));
    buffer_fini(&block);
}

/* Whether what the codec wrote resets stream 1. */
static bool has_reset(const struct buffer *wire)
{
    struct slice rest = buffer_slice(wire);
    if (slice_starts_with(rest, h2_preface()))
        slice_take(&rest, h2_preface().size);
    while (rest.size >= 9) {
        const uint8_t *head = (const uint8_t *)slice_take(&rest, 9).data;
        if (head[3] == 3 && head[8] == 1)
            return true;
        slice_take(&rest, (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    }
    return false;
}

/* --- both sides ------------------------------------------------------------------------------- */

struct side {
    struct block_pool *pool;
    struct slab_heap heap;
    struct http_limits limits;
    struct recorder recorder;
    struct arena arena;
};

static void begin(struct side *side, enum http_role role)
{
    *side = (struct side){.pool = block_pool_create(NULL), .limits = http_limits_default};
    side->limits.allow_connect = side->limits.offer_extended_connect = true;
    side->limits.refuse_underscore_twins = false;
    slab_heap_init(&side->heap, NULL);
    arena_init(&side->arena, side->pool);
    side->recorder.pool = side->pool;
    side->recorder.codec = h2_create(role, &recorder_codec_events, &recorder_consumer,
                                     &side->limits, side->pool, &side->heap, &side->recorder);
    side->recorder.codec->established = true;
}

static void end(struct side *side)
{
    recorder_fini(&side->recorder);
    arena_fini(&side->arena);
    CHECK(block_pool_in_use(side->pool) == 0);
    block_pool_destroy(side->pool);
    slab_heap_fini(&side->heap);
}

static void ask(struct side *side)
{
    struct http_request head;
    struct http_stream *stream = http_codec_open(side->recorder.codec, &side->arena);
    stream->events = &recorder_events;
    stream->owner = &side->recorder;
    side->recorder.stream = stream;
    http_request_init(&head);
    http_request_set_method(&head, HTTP_GET);
    head.authority = SLICE("a");
    head.path = SLICE("/");
    http_stream_send_request(stream, &head, true);
    recorder_run(&side->recorder);
}

static void check_message(const struct message *message, enum http_role role, size_t cut)
{
    struct side side;
    struct buffer input = {0};
    begin(&side, role);
    if (role == HTTP_CLIENT)
        ask(&side);
    else
        buffer_append_slice(&input, h2_preface());
    put_frame(&input, 4, 0, 0, SLICE(""));
    for (size_t i = 0; i < COUNT(message->frames) && message->frames[i]; i++)
        put_message_frame(&input, message->frames[i]);
    recorder_feed(&side.recorder, buffer_slice(&input), cut);
    recorder_run(&side.recorder);
    CHECK(has_reset(&side.recorder.wire) == !message->is_well, "%s, by %zu", message->name, cut);
    CHECK(!side.recorder.codec->broken && !side.recorder.codec->closing, "%s: its stream only",
          message->name);
    const char *log = side.recorder.log.data ? side.recorder.log.data : "";
    CHECK(!message->is_well || !strstr(log, "reset"), "%s: %s", message->name, log);
    buffer_fini(&input);
    end(&side);
}

static const size_t cuts[] = {16384, 1};

TEST(requests_that_break_a_rule_are_reset_and_no_others)
{
    EACH (cut, cuts)
        EACH (message, requests)
            check_message(message, HTTP_SERVER, *cut);
}

TEST(responses_that_break_a_rule_are_reset_and_no_others)
{
    EACH (cut, cuts)
        EACH (message, responses)
            check_message(message, HTTP_CLIENT, *cut);
}

#include "io/conn_internal.h"
#include "net/http_connection_internal.h"
#include "net/http_world.h"

#include <string.h>

TEST(a_head_that_does_not_come_is_given_up_with_408_and_silence_without)
{
    static const char *const begun[] = {"", "G", "GET / HTTP/1.1\r\nHost: a\r\n", "PRI * HT"};
    EACH (text, begun) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        raw_say(&w, &raw, *text);
        pass(&w, 9000);
        CHECK(w.closed[3] == 0, "%s", *text);
        pass(&w, 2000);
        CHECK(w.closed[3] == 1 && w.reasons[3] == HTTP_CLOSED_HEAD_TIMEOUT, "%s", *text);
        bool is_told = raw.got.size > 0;
        CHECK(is_told == (strcmp(*text, "G") == 0 || strlen(*text) > 10), "%s: %s", *text,
              is_told ? heard(&raw) : "");
        CHECK(!is_told || strncmp(heard(&raw), "HTTP/1.1 408 ", 13) == 0, "%s", heard(&raw));
        CHECK(raw.ends == 1);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* The peer has heard our last words and does not close: so long the socket stays, and no longer. */
TEST(a_connection_lingers_as_long_as_was_configured)
{
    static const uint32_t times_ms[] = {0, 500, CONN_LINGER_MS, 20000};
    EACH (linger_ms, times_ms) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        w.options[1].linger_ms = *linger_ms;
        connect_raw(&w, &raw);
        raw_say(&w, &raw, "G");
        while (w.closed[3] == 0)
            pass(&w, 1);
        uint64_t since_ms = loop_now_ms(w.loop);
        while (sim_open_count(w.loop) > 1)
            pass(&w, 1);
        uint64_t lingered_ms = loop_now_ms(w.loop) - since_ms;
        CHECK(lingered_ms >= *linger_ms && lingered_ms <= *linger_ms + 100, "%u: %llu ms",
              *linger_ms, (unsigned long long)lingered_ms);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* Slow loris: a byte now and then does not buy time. */
TEST(a_head_must_be_whole_in_time_however_it_drips)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    connect_raw(&w, &raw);
    raw_say(&w, &raw, ORIGIN_GET);
    pass(&w, 60000);
    CHECK(w.closed[3] == 0, "an idle connection has more time");
    buffer_reset(&raw.got);
    const char *text = "GET /1/0/5/0 HTTP/1.1\r\nHost: ";
    for (int i = 0; i < 14 && w.closed[3] == 0; i++) {
        char one[2] = {text[i]};
        raw_say(&w, &raw, one);
        pass(&w, 1000);
    }
    CHECK(w.closed[3] == 1 && w.reasons[3] == HTTP_CLOSED_HEAD_TIMEOUT);
    CHECK(strncmp(heard(&raw), "HTTP/1.1 408 ", 13) == 0, "%s", heard(&raw));
    raw_fini(&raw);
    end_world(&w);
}

TEST(an_idle_connection_is_closed_when_its_time_is_over)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    w.options[1].idle_timeout_ms = 60000;
    connect_raw(&w, &raw);
    for (int i = 0; i < 4; i++) {
        raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 50000);
        CHECK(w.closed[3] == 0, "request %d", i);
    }
    pass(&w, 11000);
    CHECK(w.closed[3] == 1 && w.reasons[3] == HTTP_CLOSED_IDLE && raw.ends == 1);
    raw_fini(&raw);
    end_world(&w);
}

/* A connection keeps the low 32 bits of a time: they begin anew every 49 days. */
TEST(timeouts_hold_where_kept_times_begin_anew)
{
    static const uint64_t before_ms[] = {0, 1, 5000, 30000, 59999, 60001};
    EACH (left_ms, before_ms) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        w.options[1].idle_timeout_ms = 60000;
        pass(&w, (UINT64_C(1) << 32) - loop_now_ms(w.loop) % (UINT64_C(1) << 32) - *left_ms);
        connect_raw(&w, &raw);
        raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 59000);
        CHECK(w.closed[3] == 0, "%llu ms before", (unsigned long long)*left_ms);
        pass(&w, 1100);
        CHECK(w.closed[3] == 1 && w.reasons[3] == HTTP_CLOSED_IDLE && raw.ends == 1);
        raw_fini(&raw);
        end_world(&w);
    }
}

TEST(a_body_that_stops_is_given_up)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    connect_raw(&w, &raw);
    raw_say(&w, &raw, "POST /1/10/5/0 HTTP/1.1\r\nHost: origin:80\r\nContent-Length: 10\r\n\r\n");
    pass(&w, 299000);
    CHECK(w.closed[3] == 0 && w.origin.open == 1);
    pass(&w, 2000);
    CHECK(w.closed[3] == 1 && w.origin.open == 0);
    CHECK(strncmp(heard(&raw), "HTTP/1.1 408 ", 13) == 0, "%s", heard(&raw));
    raw_fini(&raw);
    end_world(&w);
}

/* A reader that stops in the middle of a large answer holds memory: only for so long. */
TEST(an_answer_that_nobody_reads_is_given_up)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    connect_raw(&w, &raw);
    conn_read_stop(raw.conn);
    raw_say(&w, &raw, "GET /1/0/1000000/0 HTTP/1.1\r\nHost: origin:80\r\n\r\n");
    pass(&w, 290000);
    CHECK(w.closed[3] == 0 && w.origin.open == 1);
    CHECK(transport_backlog(http_connection_transport(w.serving)) <= SEND_AHEAD + 4000);
    pass(&w, 12000);
    CHECK(w.closed[3] == 1 && w.origin.open == 0);
    raw_fini(&raw);
    end_world(&w);
}

TEST(a_peer_that_answers_no_ping_is_gone)
{
    struct world w;
    begin_world(&w, 1, HTTP_ONLY_2, HTTP_ONLY_2);
    w.options[1].ping_interval_ms = 1000;
    w.options[1].ping_timeout_ms = 5000;
    int fds[2];
    struct raw raw = {0};
    sim_pair(w.loop, fds);
    raw.conn = conn_adopt(w.loop, fds[1], 0, &raw_events, &raw);
    conn_read_start(raw.conn);
    w.up = join(&w, fds[0], HTTP_CLIENT, &w.options[1], &up_connection_events, &w.relay);
    pass(&w, 5000);
    CHECK(w.closed[2] == 0);
    pass(&w, 1200);
    CHECK(w.closed[2] == 1 && w.reasons[2] == HTTP_CLOSED_PING);
    raw_fini(&raw);
    end_world(&w);

    begin_world(&w, 1, HTTP_ONLY_2, HTTP_ONLY_2);
    w.options[1].ping_interval_ms = 1000;
    connect_up(&w);
    pass(&w, 60000);
    CHECK(w.closed[2] == 0 && w.closed[3] == 0, "a peer that answers is kept");
    end_world(&w);
}

/* Gives its codec up, and nobody can tell. */
TEST(a_connection_that_waits_rests_and_goes_on)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    w.options[1].max_requests = 3;
    connect_raw(&w, &raw);
    for (int i = 0; i < 3; i++) {
        CHECK(w.serving, "%d", i);
        buffer_reset(&raw.got);
        raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 100);
        CHECK(strstr(heard(&raw), "200 OK"), "%d: %s", i, heard(&raw));
        if (i == 2)
            break;
        CHECK(w.serving->codec && !w.serving->is_resting, "not at once");
        pass(&w, HTTP_REST_MS);
        CHECK(!w.serving->codec && w.serving->is_resting, "%d", i);
        CHECK(http_connection_requests(w.serving) == (uint32_t)i + 1, "it still counts");
    }
    CHECK(w.closed[3] == 1 && w.reasons[3] == HTTP_CLOSED_MAX_REQUESTS);
    CHECK(strstr(heard(&raw), "connection: close"), "%s", heard(&raw));
    raw_fini(&raw);
    end_world(&w);
}

TEST(a_connection_rests_only_between_exchanges)
{
    static const char *const then[] = {"G", "\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"};
    EACH (text, then) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 100);
        raw_say(&w, &raw, *text);
        pass(&w, 2 * HTTP_REST_MS);
        CHECK(w.serving->codec, "%s", *text);
        raw_fini(&raw);
        end_world(&w);
    }
}

TEST(a_resting_connection_ends_like_any_other)
{
    for (int how = 0; how < 4;
         how++) { /* its time is over, its age is, it drains, the client leaves */
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        w.options[1].idle_timeout_ms = how == 0 ? 20000 : 3600000;
        w.options[1].max_age_ms = how == 1 ? 20000 : 0;
        connect_raw(&w, &raw);
        raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 3 * HTTP_REST_MS);
        CHECK(w.serving->is_resting, "%d", how);
        if (how == 2)
            http_connection_drain(w.serving);
        if (how == 3)
            conn_write_end(raw.conn);
        pass(&w, how < 2 ? 10000 : 100);
        CHECK((w.serving != NULL) == (how < 3), "%d", how);
        pass(&w, 20000);
        CHECK(!w.serving && w.closed[3] == 1, "%d", how);
        CHECK(w.reasons[3] == (how == 0 ? HTTP_CLOSED_IDLE : HTTP_CLOSED_DONE), "%d", how);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* Apart from the streams' own time: here they have all the time of the world. */
TEST(a_peer_that_takes_nothing_of_what_waits_is_given_up)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    w.options[1].stream_idle_timeout_ms = 0;
    w.options[1].write_stall_timeout_ms = 5000;
    connect_raw(&w, &raw);
    conn_read_stop(raw.conn);
    raw_say(&w, &raw, "GET /1/0/9000000/0 HTTP/1.1\r\nHost: origin:80\r\n\r\n");
    for (int i = 0; i < 5; i++) { /* a slow reader is none that stalls */
        pass(&w, 4000);
        conn_read_start(raw.conn);
        loop_turn(w.loop, 0);
        loop_turn(w.loop, 0);
        conn_read_stop(raw.conn);
    }
    CHECK(w.closed[3] == 0 && w.origin.open == 1);
    pass(&w, 4000);
    CHECK(w.closed[3] == 0);
    pass(&w, 2000);
    CHECK(w.closed[3] == 1 && w.reasons[3] == HTTP_CLOSED_WRITE_STALL && w.origin.open == 0);
    raw_fini(&raw);
    end_world(&w);
}

/* HTTP/1 cannot say that it will close: it waits for one more request as long as was configured. */
TEST(a_draining_server_waits_as_long_as_was_configured)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    w.options[1].drain_grace_ms = 3000;
    connect_raw(&w, &raw);
    raw_say(&w, &raw, ORIGIN_GET);
    pass(&w, 100);
    http_connection_drain(w.serving);
    pass(&w, 2000);
    CHECK(w.serving && raw.ends == 0, "it still waits");
    pass(&w, 1100);
    CHECK(!w.serving && raw.ends == 1 && w.reasons[3] == HTTP_CLOSED_DONE);
    raw_fini(&raw);
    end_world(&w);
}

static unsigned goaways_in(const struct buffer *wire)
{
    unsigned count = 0;
    const char *at = wire->data;
    size_t left = wire->size;
    for (const char *found; (found = memmem(at, left, "\0\0\x08\x07\0\0\0\0\0", 9)); count++) {
        left -= (size_t)(found + 9 - at);
        at = found + 9;
    }
    return count;
}

/* Over HTTP/2 the last GOAWAY comes when the grace is over, however soon the client has answered the PING. */
TEST(a_draining_server_says_goaway_when_its_grace_is_over)
{
    static const char greeting[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0";
    static const char answer[] = "\0\0\x08\6\1\0\0\0\0\0\0\0\0\0\0\0\0";
    for (uint32_t grace_ms = 0; grace_ms <= 3000; grace_ms += 3000) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_ONLY_2, HTTP_ONLY_2);
        w.options[1].drain_grace_ms = grace_ms;
        connect_raw(&w, &raw);
        raw_say_slice(&w, &raw, slice_of(greeting, sizeof(greeting) - 1));
        pass(&w, 100);
        http_connection_drain(w.serving);
        pass(&w, 100);
        CHECK(goaways_in(&raw.got) == 1, "the notice");
        raw_say_slice(&w, &raw, slice_of(answer, sizeof(answer) - 1));
        pass(&w, 1000);
        CHECK((goaways_in(&raw.got) == 1) == (grace_ms > 0), "%u: %u", grace_ms,
              goaways_in(&raw.got));
        pass(&w, 2000);
        CHECK(goaways_in(&raw.got) > 1 && !w.serving, "%u", grace_ms);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* The request lies in the socket already, and only this loop has not been told. */
TEST(a_draining_server_does_not_close_over_a_request_that_has_come)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_ONLY_1, HTTP_ONLY_1);
    connect_raw(&w, &raw);
    raw_say(&w, &raw, ORIGIN_GET);
    pass(&w, 50);
    buffer_reset(&raw.got);
    http_connection_drain(w.serving);
    const int fd = sim_peer(w.loop, raw.conn->fd);
    sim_hold(w.loop, fd, 0);
    raw_say(&w, &raw, ORIGIN_GET);
    pass(&w, 3 * HTTP_DRAIN_SILENCE_MS);
    CHECK(w.serving && raw.ends == 0, "it waits");
    sim_let_go(w.loop, fd);
    pass(&w, 50);
    CHECK(strstr(heard(&raw), "200 OK") && strstr(heard(&raw), "connection: close"), "%s",
          heard(&raw));
    CHECK(!w.serving && raw.ends == 1);
    raw_fini(&raw);
    end_world(&w);
}

/* The server has closed; the loop tells of it in a moment. */
TEST(an_idle_connection_is_stale_from_the_moment_that_its_end_has_come)
{
    struct world w;
    begin_world(&w, 1, HTTP_ONLY_1, HTTP_ONLY_1);
    connect_up(&w);
    pass(&w, HTTP_STALE_MS + 5);
    CHECK(!http_connection_is_stale(w.up));
    const int fd = transport_conn(http_connection_transport(w.up))->fd;
    sim_hold(w.loop, fd, 0);
    close_one(&w.serving);
    pass(&w, 5);
    CHECK(w.closed[1] == 0 && http_connection_is_stale(w.up));
    sim_let_go(w.loop, fd);
    pass(&w, 50);
    CHECK(!w.up, "now it has heard");
    end_world(&w);
}

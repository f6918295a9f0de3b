#include "net/http_world.h"

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
    int fds[2];
    struct raw raw = {0};
    sim_pair(w.loop, fds);
    raw.conn = conn_adopt(w.loop, fds[1], 0, &raw_events, &raw);
    conn_read_start(raw.conn);
    w.up = join(&w, fds[0], HTTP_CLIENT, &w.options[1], &up_connection_events, &w.relay);
    pass(&w, 900);
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

#include "proxy/upstream/limits.h"

#include "test.h"

#include "build/cluster.h"

TEST(limits_are_taken_up_to_the_limit_and_given_back)
{
    struct cluster_limits_table *table = cluster_limits_table_create();
    struct limits *limits = cluster_limits_of(table, SLICE("cart"));
    CHECK(cluster_limits_of(table, SLICE("cart")) == limits, "one object a name");
    CHECK(cluster_limits_of(table, SLICE("web")) != limits);
    CHECK(limits_take(limits, 0, LIMIT_REQUESTS, 2) && limits_take(limits, 0, LIMIT_REQUESTS, 2));
    CHECK(!limits_take(limits, 0, LIMIT_REQUESTS, 2), "one more than the limit");
    CHECK(limits->overflows[LIMIT_REQUESTS] == 1 && limits->used[0][LIMIT_REQUESTS] == 2);
    CHECK(limits_take(limits, 1, LIMIT_REQUESTS, 2), "the other priority has its own");
    CHECK(limits_take(limits, 0, LIMIT_PENDING, 1), "so has the other kind");
    limits_give(limits, 0, LIMIT_REQUESTS, 2);
    CHECK(limits_take(limits, 0, LIMIT_REQUESTS, 2));
    CHECK(!limits_take(limits, 0, LIMIT_RETRIES, 0), "a limit of none");
    cluster_limits_table_destroy(table);
    cluster_limits_table_destroy(NULL);
}

TEST(what_is_unlimited_is_not_counted)
{
    struct limits limits = {0};
    for (int i = 0; i < 3; i++)
        CHECK(limits_take(&limits, 0, LIMIT_PENDING, CLUSTER_UNLIMITED));
    CHECK(limits.used[0][LIMIT_PENDING] == 0);
    limits_give(&limits, 0, LIMIT_PENDING, CLUSTER_UNLIMITED);
    CHECK(limits.used[0][LIMIT_PENDING] == 0 && limits.overflows[LIMIT_PENDING] == 0);
}

/* --- connections: the line ------------------------------------------------------------------------------------- */

struct worker_side {
    struct limits_user *user;
    unsigned told;
};

static void on_news(void *owner)
{
    ((struct worker_side *)owner)->told++;
}

struct line_world {
    struct loop *loop;
    struct cluster_limits_table *table;
    struct limits *limits;
    struct worker_side sides[3];
};

static void begin(struct line_world *w)
{
    struct loop_options options = {.name = "test", .backend = LOOP_SIM, .seed = 1};
    *w = (struct line_world){.table = cluster_limits_table_create()};
    CHECK(loop_create(&options, &w->loop) == 0);
    w->limits = cluster_limits_of(w->table, SLICE("cart"));
    for (unsigned i = 0; i < COUNT(w->sides); i++)
        w->sides[i].user = limits_join(w->limits, w->loop, on_news, &w->sides[i]);
}

static uint32_t used(const struct line_world *w)
{
    return w->limits->used[0][LIMIT_CONNECTIONS];
}

static void end(struct line_world *w)
{
    for (unsigned i = 0; i < COUNT(w->sides); i++)
        limits_leave(w->sides[i].user);
    loop_turn(w->loop, 0);
    CHECK(used(w) == 0 && limits_waiting(w->limits) == 0);
    loop_destroy(w->loop);
    cluster_limits_table_destroy(w->table);
}

TEST(a_connection_given_back_goes_to_the_head_of_the_line)
{
    struct line_world w;
    begin(&w);
    CHECK(limits_take_or_wait(w.sides[0].user, 1));
    CHECK(!limits_take_or_wait(w.sides[1].user, 1) && !limits_take_or_wait(w.sides[2].user, 1));
    CHECK(!limits_take_or_wait(w.sides[1].user, 1) && limits_waiting(w.limits) == 2,
          "once in line is enough");
    loop_turn(w.loop, 0);
    CHECK(w.sides[0].told == 1 && w.sides[1].told == 1, "everyone is told, in one mail");
    limits_give_connection(w.limits, 1);
    CHECK(!limits_take_connection(w.limits, 1) && used(&w) == 1, "nobody jumps the line");
    loop_turn(w.loop, 0);
    CHECK(limits_fetch(w.sides[1].user) == 1 && limits_fetch(w.sides[1].user) == 0);
    CHECK(limits_fetch(w.sides[2].user) == 0 && limits_waiting(w.limits) == 1);
    limits_give_connection(w.limits, 1);
    CHECK(limits_fetch(w.sides[2].user) == 1 && limits_waiting(w.limits) == 0);
    limits_give_connection(w.limits, 1);
    CHECK(used(&w) == 0 && limits_take_connection(w.limits, 1));
    limits_give_connection(w.limits, 1);
    end(&w);
}

TEST(who_leaves_passes_on_what_it_was_granted)
{
    struct line_world w;
    begin(&w);
    CHECK(limits_take_or_wait(w.sides[0].user, 1));
    CHECK(!limits_take_or_wait(w.sides[1].user, 1) && !limits_take_or_wait(w.sides[2].user, 1));
    limits_give_connection(w.limits, 1);
    limits_leave(give(w.sides[1].user));
    CHECK(limits_fetch(w.sides[2].user) == 1 && used(&w) == 1);
    limits_give_connection(w.limits, 1);
    end(&w);
}

TEST(a_limit_that_is_raised_serves_who_stands_in_line)
{
    struct line_world w;
    begin(&w);
    CHECK(limits_take_or_wait(w.sides[0].user, 1) && !limits_take_or_wait(w.sides[1].user, 1));
    limits_retry(w.sides[1].user, 1);
    CHECK(limits_fetch(w.sides[1].user) == 0);
    limits_retry(w.sides[1].user, 2);
    CHECK(limits_fetch(w.sides[1].user) == 1 && used(&w) == 2 && limits_waiting(w.limits) == 0);
    limits_give_connection(w.limits, 2);
    limits_give_connection(w.limits, 2);
    CHECK(used(&w) == 0);
    end(&w);
}

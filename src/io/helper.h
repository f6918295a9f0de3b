/*
 * helper: threads for what would block a loop: files, key generation, setns, slow hashing.
 *
 * A job goes out with its input inside, `work` runs on a helper thread, `done` on the loop that sent it. On a simulated
 * loop the job runs on the loop itself in a later turn, so that simulations stay deterministic.
 */
#pragma once

#include "base/attributes.h"
#include "io/loop.h"

struct helper_pool;

/* Embedded in what the job needs; the pool owns it from helper_submit until done. */
struct job {
    struct mail mail;
    struct task task;
    struct list node;
    struct loop *loop;
    void (*work)(struct job *job); /* helper thread: touches nothing but the job */
    void (*done)(struct job *job); /* loop's thread; the job is the owner's again */
};

/* Threads start when they are needed, `max_threads` at most (0 = 2). */
struct helper_pool *helper_pool_create(unsigned max_threads);
/*
 * Finishes what is queued and joins: from here on no helper touches a loop, so that loops may be destroyed. Answers still
 * arrive at their loops. What is submitted later is worked on by who submits it.
 */
void helper_pool_end(struct helper_pool *pool);
/* Ends it first. Accepts NULL. */
void helper_pool_destroy(struct helper_pool *pool);
OWNED(helper_pool, helper_pool_destroy)
/* Any thread. work and done are set by the caller. loop must outlive the job. */
void helper_submit(struct helper_pool *pool, struct loop *loop, struct job *job);

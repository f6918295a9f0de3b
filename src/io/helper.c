#include "io/helper.h"

#include "base/memory.h"
#include "io/thread.h"

#include <pthread.h>

enum { HELPERS = 2, HELPERS_MAX = 16 };

struct helper_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct list jobs; /* by job.node */
    unsigned max_threads, thread_count, idle;
    bool is_ending;
    struct thread *threads[HELPERS_MAX];
};

struct helper_pool *helper_pool_create(unsigned max_threads)
{
    struct helper_pool *pool = mem_new(struct helper_pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    list_init(&pool->jobs);
    pool->max_threads = max_threads ? MIN(max_threads, (unsigned)HELPERS_MAX) : HELPERS;
    return pool;
}

static void deliver_done(struct mail *mail)
{
    struct job *job = CONTAINER_OF(mail, struct job, mail);
    job->done(job);
}

static void finish(struct job *job)
{
    job->work(job);
    job->mail.deliver = deliver_done;
    loop_post(job->loop, &job->mail);
}

/* NULL when the pool ends and nothing is queued. */
static struct job *next_job(struct helper_pool *pool)
{
    struct job *job = NULL;
    pthread_mutex_lock(&pool->lock);
    pool->idle++;
    while (list_is_empty(&pool->jobs) && !pool->is_ending)
        pthread_cond_wait(&pool->has_work, &pool->lock);
    pool->idle--;
    if (!list_is_empty(&pool->jobs)) {
        job = LIST_ENTRY(pool->jobs.next, struct job, node);
        list_remove(&job->node);
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void help(void *argument)
{
    struct job *job;
    while ((job = next_job(argument)))
        finish(job);
}

void helper_pool_end(struct helper_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->is_ending = true;
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        thread_destroy(pool->threads[i]);
    pool->thread_count = 0;
}

void helper_pool_destroy(struct helper_pool *pool)
{
    if (!pool)
        return;
    helper_pool_end(pool);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

static void run_on_loop(struct task *task)
{
    struct job *job = CONTAINER_OF(task, struct job, task);
    job->work(job);
    job->done(job);
}

/* Called with the lock held. False when there is no thread at all to do it. */
static bool have_a_thread(struct helper_pool *pool)
{
    if (pool->idle == 0 && pool->thread_count < pool->max_threads && !pool->is_ending) {
        struct thread **slot = &pool->threads[pool->thread_count];
        if (thread_create("helper", help, pool, slot) == 0)
            pool->thread_count++;
    }
    return pool->thread_count > 0;
}

void helper_submit(struct helper_pool *pool, struct loop *loop, struct job *job)
{
    job->loop = loop;
    if (loop_backend(loop) == LOOP_SIM) {
        task_init(&job->task, run_on_loop);
        loop_run_next_turn(loop, &job->task);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    bool is_queued = have_a_thread(pool);
    if (is_queued) {
        list_push_back(&pool->jobs, &job->node);
        pthread_cond_signal(&pool->has_work);
    }
    pthread_mutex_unlock(&pool->lock);
    /* The kernel gives no thread, or the pool has ended: slow is better than never. */
    if (!is_queued)
        finish(job);
}

#include "io/signal.h"

#include "io/waiting.h"

#include <signal.h>
#include <unistd.h>

static int heard[65];
static pid_t heard_from;

static void on_signal(void *owner, int signal, pid_t sender)
{
    (void)owner;
    heard[signal]++;
    heard_from = sender;
}

TEST(signal_becomes_an_event)
{
    static const int signals[] = {SIGUSR1, SIGHUP, 0};
    struct loop *loop = loop_for_test();
    struct signal_watch *watch;
    CHECK(signal_watch_create(loop, signals, on_signal, NULL, &watch) == 0, "-");
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGHUP);
    CHECK(heard[SIGUSR1] == 0, "not before the loop");
    WAIT_FOR(loop, heard[SIGUSR1] == 1 && heard[SIGHUP] == 1);
    CHECK(heard_from == getpid(), "-");
    signal_watch_destroy(watch);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&mask, SIGUSR1), "unblocked again");
    loop_destroy(loop);
}

#include "test.h"

#include "base/memory.h"
#include "control/ca/authority.h"
#include "control/ca/signer.h"
#include "tls/certificate.h"
#include "tls/key_pair.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

struct office {
    char folder[64];
    struct loop *loop;
    struct signer *signer;
    struct buffer request;
    int changes;
};

/* One order and what became of it. */
struct desk {
    struct signer_order order;
    struct office *office;
    int answers;
    bool good, try_again;
    char *what, *spiffe_id;
    struct buffer certificate;
    char serial[SIGNER_SERIAL_HEX];
};

static const struct slice cart = {"spiffe://cluster.local/ns/shop/sa/cart", 38};

static void on_change(void *owner)
{
    ((struct office *)owner)->changes++;
}

static void office_start(struct office *office)
{
    struct error error = {0};
    struct key_pair *key = key_pair_generate();
    *office = (struct office){0};
    snprintf(office->folder, sizeof(office->folder), "/tmp/tulle-ca-XXXXXX");
    CHECK(mkdtemp(office->folder) != NULL);
    CHECK(signer_create(office->folder, "cluster.local", &office->signer, &error), "%s",
          error.what);
    CHECK(loop_create(&(struct loop_options){.name = "ca"}, &office->loop) == 0);
    CHECK(signer_start(office->signer, office->loop, on_change, office) == 0);
    CHECK(key_pair_request(key, cart, &office->request, NULL));
    key_pair_destroy(key);
}

static void office_stop(struct office *office)
{
    signer_destroy(office->signer);
    loop_destroy(office->loop);
    buffer_fini(&office->request);
    static const char *const names[] = {"root.pem", "intermediate.pem", "roots.pem"};
    EACH (name, names) {
        owned_str path = str_format("%s/%s", office->folder, *name);
        unlink(path);
    }
    CHECK(rmdir(office->folder) == 0);
}

static void on_answer(struct signer_order *order, const struct signer_answer *answer)
{
    struct desk *desk = CONTAINER_OF(order, struct desk, order);
    desk->answers++;
    desk->good = answer->good;
    desk->try_again = answer->try_again;
    mem_free(desk->what);
    mem_free(desk->spiffe_id);
    desk->what = answer->error ? str_copy(answer->error->what) : NULL;
    desk->spiffe_id = slice_to_str(answer->record.spiffe_id);
    memcpy(desk->serial, answer->record.serial, sizeof(desk->serial));
    buffer_reset(&desk->certificate);
    buffer_append_slice(&desk->certificate, answer->certificate);
}

static void ask(struct office *office, struct desk *desk, struct slice spiffe_id,
                struct slice request)
{
    struct authority_order what = {.request = request, .spiffe_id = spiffe_id};
    desk->office = office;
    signer_sign(office->signer, &desk->order, &what, on_answer);
    CHECK(desk->order.node.next != NULL);
}

static void desk_fini(struct desk *desk)
{
    mem_free(desk->what);
    mem_free(desk->spiffe_id);
    buffer_fini(&desk->certificate);
}

static void wait_for(struct office *office, const int *count, int wanted)
{
    while (*count < wanted)
        loop_turn(office->loop, 10000);
}

TEST(a_certificate_comes_by_the_loop)
{
    struct office office;
    struct desk desk = {0};
    office_start(&office);
    const struct signer_trust *trust = signer_trust(office.signer);
    CHECK(trust->chain.size > 0 && trust->roots.size > 0 && trust->generation.low != 0 &&
          !*trust->warning);
    ask(&office, &desk, cart, buffer_slice(&office.request));
    CHECK(desk.answers == 0, "never from the call");
    wait_for(&office, &desk.answers, 1);
    CHECK(desk.good, "%s", desk.what);
    struct buffer der = {0}, issuer = {0}, root = {0};
    size_t leaf_at = 0, chain_at = 0, root_at = 0;
    CHECK(certificate_next(buffer_slice(&desk.certificate), &leaf_at, &der, NULL));
    CHECK(certificate_next(trust->chain, &chain_at, &issuer, NULL) &&
          certificate_next(trust->roots, &root_at, &root, NULL));
    CHECK(certificate_is_signed_by(buffer_slice(&der), buffer_slice(&issuer)));
    CHECK(certificate_is_signed_by(buffer_slice(&issuer), buffer_slice(&root)));
    struct certificate_summary summary;
    CHECK(certificate_summarize(buffer_slice(&der), &summary, NULL));
    CHECK(strcmp(summary.serial, desk.serial) == 0 && slice_equals_str(cart, desk.spiffe_id));
    certificate_summary_fini(&summary);
    buffer_fini(&der);
    buffer_fini(&issuer);
    buffer_fini(&root);
    desk_fini(&desk);
    office_stop(&office);
}

TEST(many_orders_are_answered_each_once_and_cancelled_ones_never)
{
    enum { ORDERS = 600 };
    struct office office;
    struct desk *desks = mem_calloc(ORDERS, sizeof(*desks));
    office_start(&office);
    for (int i = 0; i < ORDERS; i++)
        ask(&office, &desks[i], cart, buffer_slice(&office.request));
    for (int i = 0; i < ORDERS; i += 3)
        signer_cancel(office.signer, &desks[i].order);
    for (int i = 0; i < ORDERS; i++) {
        if (i % 3)
            wait_for(&office, &desks[i].answers, 1);
        else
            signer_cancel(office.signer, &desks[i].order); /* harmless */
    }
    for (int i = 0; i < ORDERS; i++) {
        CHECK(desks[i].answers == (i % 3 != 0) && desks[i].good == (i % 3 != 0), "%d", i);
        CHECK(i < 2 || i % 3 != 2 || strcmp(desks[i].serial, desks[i - 1].serial) != 0);
        desk_fini(&desks[i]);
    }
    mem_free(desks);
    office_stop(&office);
}

TEST(what_is_refused_says_why)
{
    struct office office;
    office_start(&office);
    char *large = mem_calloc(1, CSR_BYTES_MAX + 1);
    struct {
        struct slice id, request;
        const char *what;
    } rows[] = {
        {SLICE("spiffe://other.local/a"), buffer_slice(&office.request),
         "trust domain other.local"},
        {cart, SLICE("not a request"), "CERTIFICATE REQUEST"},
        {cart, slice_of(large, CSR_BYTES_MAX + 1), "larger than 16 KB"},
    };
    EACH (row, rows) {
        struct desk desk = {0};
        ask(&office, &desk, row->id, row->request);
        wait_for(&office, &desk.answers, 1);
        CHECK(!desk.good && !desk.try_again && strstr(desk.what, row->what), "'%s' in '%s'",
              row->what, desk.what);
        desk_fini(&desk);
    }
    mem_free(large);
    office_stop(&office);
}

/* The processes below this one that carry a name, by /proc. */
static pid_t find_process(const char *name, pid_t parent)
{
    DIR *all = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; !found && (entry = readdir(all));) {
        char path[300], line[300] = "", seen[64];
        int pid, above;
        char state;
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(line, sizeof(line), file) &&
            sscanf(line, "%d (%63[^)]) %c %d", &pid, seen, &state, &above) == 4 &&
            above == parent && strcmp(seen, name) == 0 && state != 'Z')
            found = pid;
        fclose(file);
    }
    closedir(all);
    return found;
}

TEST(a_crash_is_survived_and_told)
{
    struct office office;
    struct desk held = {0}, next = {0};
    office_start(&office);
    pid_t guard = find_process("tulled-guard", getpid()),
          child = find_process("tulled-signer", guard);
    CHECK(guard > 0 && child > 0);
    struct hash128 generation = signer_trust(office.signer)->generation;
    CHECK(kill(child, SIGSTOP) == 0);
    ask(&office, &held, cart, buffer_slice(&office.request));
    loop_turn(office.loop, 0);
    CHECK(kill(child, SIGKILL) == 0);
    wait_for(&office, &held.answers, 1);
    wait_for(&office, &office.changes, 1);
    CHECK(held.good || held.try_again, "%s", held.what);
    CHECK(hash128_equals(generation, signer_trust(office.signer)->generation),
          "the same authority");
    ask(&office, &next, cart, buffer_slice(&office.request));
    wait_for(&office, &next.answers, 1);
    CHECK(next.good && signer_is_alive(office.signer));
    desk_fini(&held);
    desk_fini(&next);
    office_stop(&office);
}

TEST(a_renewal_loses_no_order)
{
    enum { ORDERS = 40 };
    struct office office;
    struct desk desks[ORDERS] = {0};
    office_start(&office);
    for (int i = 0; i < ORDERS; i++) {
        ask(&office, &desks[i], cart, buffer_slice(&office.request));
        if (i % 10 == 5) {
            loop_turn(office.loop, 0);
            CHECK(signer_renew(office.signer));
        }
    }
    wait_for(&office, &office.changes, 4);
    for (int i = 0; i < ORDERS; i++) {
        wait_for(&office, &desks[i].answers, 1);
        CHECK(desks[i].good, "%d: %s", i, desks[i].what);
        desk_fini(&desks[i]);
    }
    office_stop(&office);
}

TEST(a_renewal_that_fails_is_told_and_heals_when_it_is_mended)
{
    struct office office;
    struct desk desk = {0};
    office_start(&office);
    CHECK(chmod(office.folder, 0777) == 0);
    CHECK(signer_renew(office.signer));
    wait_for(&office, &office.changes, 1);
    CHECK(strstr(signer_trust(office.signer)->warning, "others may write"));
    CHECK(signer_is_alive(office.signer), "the guard tries again");
    CHECK(chmod(office.folder, 0700) == 0);
    wait_for(&office, &office.changes, 2);
    CHECK(!*signer_trust(office.signer)->warning);
    ask(&office, &desk, cart, buffer_slice(&office.request));
    wait_for(&office, &desk.answers, 1);
    CHECK(desk.good, "%s", desk.what);
    desk_fini(&desk);
    office_stop(&office);
}

TEST(an_authority_that_cannot_be_opened_is_told_in_its_own_words)
{
    struct signer *signer = NULL;
    struct error error = {0};
    CHECK(!signer_create("/proc/nowhere/ca", "cluster.local", &signer, &error));
    CHECK(strstr(error.what, "/proc/nowhere/ca"), "%s", error.what);
    error_fini(&error);
    CHECK(!signer_create("/tmp", "Not A Domain", &signer, &error));
    CHECK(strstr(error.what, "no trust domain"), "%s", error.what);
    error_fini(&error);
    CHECK(find_process("tulled-guard", getpid()) == 0, "nothing is left behind");
}

TEST(nothing_of_the_child_is_left_when_we_go)
{
    struct office office;
    office_start(&office);
    pid_t guard = find_process("tulled-guard", getpid()),
          child = find_process("tulled-signer", guard);
    CHECK(guard > 0 && child > 0);
    office_stop(&office);
    CHECK(kill(guard, 0) < 0 && kill(child, 0) < 0);
}

TEST(the_child_can_neither_talk_nor_open)
{
    /* It tries itself before it is ready; here is the kernel's word for it. */
    struct office office;
    office_start(&office);
    pid_t child = find_process("tulled-signer", find_process("tulled-guard", getpid()));
    char path[64], line[200];
    int seccomp = -1, privileges = -1, descriptors = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", child);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file)) {
        sscanf(line, "Seccomp: %d", &seccomp);
        sscanf(line, "NoNewPrivs: %d", &privileges);
    }
    fclose(file);
    CHECK(seccomp == 2 && privileges == 1, "%d %d", seccomp, privileges);
    snprintf(path, sizeof(path), "/proc/%d/fd", child);
    DIR *folder = opendir(path); /* root may, others may not: it is not dumpable */
    while (folder && readdir(folder))
        descriptors++;
    if (folder)
        closedir(folder);
    CHECK(descriptors <= 2 + 4, "0, 1, 2 and the socket, not %d", descriptors - 2);
    office_stop(&office);
}

#include "cli/run/spec.h"

#include "base/buffer.h"
#include "test.h"

#include <unistd.h>

/* Reads text as if it stood in a file; the path is written to `path`. */
static bool read_text(const char *text, struct spec *spec, struct error *error)
{
    char path[] = "/tmp/tulle-spec-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    bool is_read = spec_read(spec, path, error);
    unlink(path);
    return is_read;
}

TEST(spec_spreads_versions_and_replicas)
{
    struct spec spec;
    struct error error = {0};
    CHECK(
        read_text("mesh: { name: shop }\n"
                  "services:\n"
                  "  web: { run: ./web, port: 8080, publish: 80, env: { A: x, B: yes, C: 010 } }\n"
                  "  cart: { run: ./cart, port: 9000, replicas: 2, versions: { v1: {}, v2: { env: "
                  "{ A: two } } } }\n"
                  "config: [ mesh/, one.yaml ]\n",
                  &spec, &error),
        "%s", error.what);
    CHECK(spec.instance_count == 5);
    static const char *const names[] = {"web", "cart-v1-1", "cart-v1-2", "cart-v2-1", "cart-v2-2"};
    for (size_t i = 0; i < 5; i++)
        CHECK(strcmp(spec.instances[i].name, names[i]) == 0, "%s", spec.instances[i].name);
    CHECK(spec.instances[0].publish == 80);
    CHECK(spec.instances[0].env_count == 3);
    CHECK(strcmp(spec.instances[0].env[1].value, "yes") == 0,
          "a plain scalar is passed as it was written");
    CHECK(strcmp(spec.instances[0].env[2].value, "010") == 0);
    CHECK(strcmp(spec.instances[3].version, "v2") == 0);
    CHECK(spec.config_count == 2);
    spec_fini(&spec);
}

TEST(spec_refuses_with_the_place)
{
    static const struct {
        const char *text, *what, *line;
    } cases[] = {
        {"services:\n  web: { run: x, port: 80, prot: http }\n", "unknown field \"prot\"", ":2:"},
        {"services:\n  web: { run: x }\n", "says no port", ":2:"},
        {"services:\n  web: { port: 80 }\n", "nothing to run", ":2:"},
        {"services:\n  Web: { run: x, port: 80 }\n", "lower-case", ":2:"},
        {"services:\n  web: { run: x, port: 65536 }\n", "from 1 to 65535", ":2:"},
        {"services:\n  web: { run: x, port: 80, replicas: 101 }\n", "from 1 to 100", ":2:"},
        {"services:\n  web: { run: x, port: 80, protocol: udp }\n", "http or tcp", ":2:"},
        {"services: {}\n", "names no services", ":1:"},
        {"mesh: { mtls: NONE }\nservices:\n  web: { run: x, port: 80 }\n", "STRICT", ":1:"},
    };
    EACH (c, cases) {
        struct spec spec;
        struct error error = {0};
        CHECK(!read_text(c->text, &spec, &error), "%s", c->text);
        CHECK(strstr(error.what, c->what), "%s: %s", c->text, error.what);
        CHECK(error.where && strstr(error.where, c->line), "%s: %s", c->text, error.where);
        error_fini(&error);
    }
}

TEST(spec_asks_for_the_short_cut_in_one_word)
{
    static const struct {
        const char *text;
        bool is_read, wants;
    } rows[] = {
        {"true", true, true}, {"false", true, false}, {"1", false, false}, {"[]", false, false}};
    EACH (row, rows) {
        struct spec spec;
        owned_error error = {0};
        owned_buffer text = {0};
        buffer_format(&text, "mesh: { sockmap: %s }\nservices: { web: { run: x, port: 1 } }\n",
                      row->text);
        bool is_read = read_text(text.data, &spec, &error);
        CHECK(is_read == row->is_read, "%s", row->text);
        if (!is_read)
            continue;
        CHECK(spec.wants_sockmap == row->wants, "%s", row->text);
        spec_fini(&spec);
    }
}

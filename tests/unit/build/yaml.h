/*
 * yaml: messages for tests of builders, from YAML as people write it.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "build/options.h"
#include "pb/text_in.h"

UNUSED static const struct build_options here = {
    .here = true, .now_s = 1767225600, .hostname = {"proxy-1", 7}};
UNUSED static const struct build_options elsewhere = {.now_s = 1767225600};

/* The message; fails the test when the text is not one. */
UNUSED static void *from_yaml(struct arena *arena, const ProtobufCMessageDescriptor *type,
                              const char *text)
{
    struct error error = {0};
    void *message = text_read_yaml(slice_str(text), "test.yaml", type, TEXT_STRICT, arena, &error);
    if (!message) {
        char *what = error_text(&error, false);
        print_error("%s\n%s\n", what, text);
        fail();
    }
    return message;
}

/* For tables of mistakes: the text with the one line that differs. */
#define CHECK_REFUSED(ok, error, expected, name)                                                   \
    do {                                                                                           \
        CHECK(!(ok), "%s must be refused", (name));                                                \
        CHECK((error)->what &&strstr((error)->what, (expected)), "%s: '%s' should say '%s'",       \
              (name), (error)->what ? (error)->what : "", (expected));                             \
        error_fini(error);                                                                         \
    } while (0)
#define CHECK_TAKEN(ok, error, name)                                                               \
    do {                                                                                           \
        bool is_taken = (ok);                                                                      \
        CHECK(is_taken, "%s: %s", (name), (error)->what ? (error)->what : "");                     \
    } while (0)

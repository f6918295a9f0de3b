#include "http/message.h"

#include "test.h"

TEST(methods_are_known_by_their_exact_text)
{
    for (unsigned method = HTTP_GET; method < HTTP_METHODS; method++)
        CHECK(http_method_of(http_method_text((enum http_method)method)) == method);
    CHECK(http_method_of(SLICE("get")) == HTTP_OTHER_METHOD);
    CHECK(http_method_of(SLICE("")) == HTTP_OTHER_METHOD);
    CHECK(http_method_of(SLICE("GETS")) == HTTP_OTHER_METHOD);
}

TEST(safe_methods_are_idempotent_and_unknown_ones_are_neither)
{
    for (unsigned method = 0; method < HTTP_METHODS; method++)
        if (http_method_is_safe((enum http_method)method))
            CHECK(http_method_is_idempotent((enum http_method)method));
    CHECK(http_method_is_idempotent(HTTP_PUT) && http_method_is_idempotent(HTTP_DELETE));
    CHECK(!http_method_is_idempotent(HTTP_POST) && !http_method_is_idempotent(HTTP_PATCH));
    CHECK(!http_method_is_idempotent(HTTP_OTHER_METHOD) && !http_method_is_safe(HTTP_PUT));
}

TEST(some_responses_carry_no_content)
{
    CHECK(http_response_is_bodyless(HTTP_HEAD, 200) && http_response_is_bodyless(HTTP_GET, 204));
    CHECK(http_response_is_bodyless(HTTP_GET, 304) && http_response_is_bodyless(HTTP_GET, 100));
    CHECK(!http_response_is_bodyless(HTTP_GET, 200) && !http_response_is_bodyless(HTTP_GET, 205));
    CHECK(http_response_is_tunnel(HTTP_CONNECT, 204) && http_response_is_tunnel(HTTP_GET, 101));
    CHECK(!http_response_is_tunnel(HTTP_CONNECT, 407) && !http_response_is_tunnel(HTTP_GET, 200));
}

TEST(statuses_have_their_phrase)
{
    CHECK(slice_equals_str(http_status_text(200), "OK"));
    CHECK(slice_equals_str(http_status_text(503), "Service Unavailable"));
    CHECK(slice_equals_str(http_status_text(799), "Unknown"));
    CHECK(slice_equals_str(http_version_text(HTTP_2), "HTTP/2"));
}

TEST(a_copied_head_is_edited_apart)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct http_request request, copy;
    http_request_init(&request);
    http_request_set_method(&request, HTTP_POST);
    request.path = SLICE("/a");
    CHECK(headers_add(&request.headers, &arena, SLICE("a"), SLICE("1")));
    CHECK(http_request_copy(&copy, &arena, &request));
    CHECK(headers_set(&copy.headers, &arena, SLICE("a"), SLICE("2")));
    CHECK(slice_equals_str(header_value(&request.headers.items[0]), "1"));
    CHECK(copy.method == HTTP_POST && slice_equals_str(copy.method_text, "POST"));
    struct http_response response, other;
    http_response_init(&response, 204);
    CHECK(http_response_copy(&other, &arena, &response) && other.status == 204);
    CHECK(other.content_length == HTTP_LENGTH_UNKNOWN);
    arena_fini(&arena);
}

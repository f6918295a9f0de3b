/*
 * refusal: why a message from outside is not accepted, by name, status and sentence.
 *
 * A request is answered with the status and the connection closed (HTTP/1) or the stream reset (HTTP/2); a response
 * becomes a 502 for whoever asked. The names count in statistics, the sentences stand in logs and answers.
 */
#pragma once

#include "base/attributes.h"

/* clang-format off */
#define HTTP_REFUSALS(X) \
    X(NONE, none, 0, "") \
    X(BARE_LF, bare_lf, 400, "a line ends in LF without CR") \
    X(BARE_CR, bare_cr, 400, "CR is not followed by LF") \
    X(CONTROL, control, 400, "a head holds a control character") \
    X(LEADING_LINES, leading_lines, 400, "more than one empty line stands before the request line") \
    X(METHOD, method, 400, "the method is not a token") \
    X(METHOD_SIZE, method_size, 501, "the method is longer than any known one") \
    X(TARGET, target, 400, "the request target holds a character that must be escaped") \
    X(TARGET_FORM, target_form, 400, "the form of the request target does not suit the method") \
    X(TARGET_SIZE, target_size, 414, "the request target is too long") \
    X(REQUEST_LINE, request_line, 400, "the request line is not METHOD TARGET VERSION") \
    X(STATUS_LINE, status_line, 400, "the status line is not VERSION STATUS REASON") \
    X(VERSION, version, 505, "the version is neither HTTP/1.0 nor HTTP/1.1") \
    X(VERSION_SYNTAX, version_syntax, 400, "the version is malformed") \
    X(PREFACE, preface, 400, "HTTP/2 was begun where HTTP/1 is spoken") \
    X(FOLD, fold, 400, "a field is continued on a second line") \
    X(NAME, name, 400, "a field name is empty or not a token") \
    X(NAME_SIZE, name_size, 431, "a field name is too long") \
    X(NO_COLON, no_colon, 400, "a field has no colon") \
    X(UNDERSCORE, underscore, 400, "a field name imitates another by an underscore") \
    X(VALUE, value, 400, "a field value holds a character that is not allowed") \
    X(HEAD_SIZE, head_size, 431, "the head is too long") \
    X(HEAD_COUNT, head_count, 431, "the head has too many fields") \
    X(LENGTH, length, 400, "Content-Length is not a number that can be") \
    X(LENGTH_TWICE, length_twice, 400, "Content-Length is given more than once") \
    X(LENGTH_AND_CHUNKED, length_and_chunked, 400, "both Content-Length and Transfer-Encoding are given") \
    X(CODING, coding, 501, "the transfer coding is unknown") \
    X(CODING_LIST, coding_list, 400, "Transfer-Encoding is not just chunked") \
    X(CODING_VERSION, coding_version, 400, "an HTTP/1.0 message has Transfer-Encoding") \
    X(HOST_MISSING, host_missing, 400, "the request names no host") \
    X(HOST_TWICE, host_twice, 400, "the request names its host more than once") \
    X(HOST, host, 400, "the host is malformed") \
    X(HOST_DIFFERS, host_differs, 400, "the request target and Host name different hosts") \
    X(EXPECT, expect, 417, "the expectation is not 100-continue") \
    X(CONNECT, connect, 405, "CONNECT is not allowed here") \
    X(UPGRADE, upgrade, 502, "the upstream switched protocols without being asked") \
    X(CHUNK_SIZE, chunk_size, 400, "a chunk size is malformed or too large") \
    X(CHUNK_EXTENSION, chunk_extension, 400, "a chunk extension holds a character that is not allowed") \
    X(CHUNK_OVERHEAD, chunk_overhead, 400, "a chunked body is mostly framing") \
    X(CHUNK_END, chunk_end, 400, "a chunk does not end where its size says") \
    X(TRAILER, trailer, 400, "a trailer field belongs into a head") \
    X(TRAILER_SIZE, trailer_size, 431, "the trailers are too long") \
    X(TRUNCATED, truncated, 400, "the connection ended inside a message") \
    X(SURPLUS, surplus, 502, "bytes follow a message that was complete") \
    X(INFORMATIONAL, informational, 502, "too many informational responses came") \
    X(TIMEOUT, timeout, 408, "the head did not come in time") \
    X(OVERLOAD, overload, 503, "there is no memory left for another request") \
    X(PSEUDO, pseudo, 400, "a pseudo-header is missing, repeated, unknown or out of place") \
    X(CONNECTION_FIELD, connection_field, 400, "HTTP/2 carries no field that belongs to a connection") \
    X(HTTP2, http2, 400, "the peer broke the rules of HTTP/2") \
    X(FLOOD, flood, 429, "the peer keeps the connection busy without use")
/* clang-format on */

#define HTTP_REFUSAL_ENUM(id, name, status, text) HTTP_REFUSAL_##id,
enum http_refusal { HTTP_REFUSALS(HTTP_REFUSAL_ENUM) HTTP_REFUSAL_COUNT };

/* The status a request is answered with; 0 for NONE. */
unsigned http_refusal_status(enum http_refusal refusal);
/* "bare_lf": for counters and the access log's details. */
const char *http_refusal_name(enum http_refusal refusal);
const char *http_refusal_text(enum http_refusal refusal);

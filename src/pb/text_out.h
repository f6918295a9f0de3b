/*
 * text_out: messages to JSON and YAML, with proto3's JSON names and forms.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/buffer.h"
#include "pb/document.h"

#include <protobuf-c/protobuf-c.h>

struct text_style {
    bool original_names; /* route_config, as Envoy's admin interface prints; else routeConfig */
    bool show_secrets;   /* else a secret field prints "[redacted]" */
    bool one_line;       /* JSON only */
};

/* Any is written with the fields of what it holds, or as base64 when its type is unknown. style NULL = all false. */
struct value *text_encode(const ProtobufCMessage *message, const struct text_style *style,
                          struct arena *arena);
void text_write_json(const ProtobufCMessage *message, const struct text_style *style,
                     struct buffer *out);
void text_write_yaml(const ProtobufCMessage *message, const struct text_style *style,
                     struct buffer *out);

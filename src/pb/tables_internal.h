/*
 * tables: what tools/proto_tables.cc makes at build time. The comments are an object of their own.
 */
#pragma once

#include "pb/type.h"

extern const struct pb_type pb_type_rows[]; /* in order of full name */
extern const size_t pb_type_row_count;
extern const struct pb_kind pb_kind_rows[];
extern const size_t pb_kind_row_count;
extern const struct pb_rules pb_rules_rows[];
extern const uint32_t pb_only_rows[];
extern const char pb_table_texts[];

/* For each type its own comment, then its fields': offsets into pb_doc_texts. */
extern const uint32_t pb_doc_rows[];
extern const char pb_doc_texts[];

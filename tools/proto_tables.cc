/*
 * proto_tables: what protobuf-c's descriptors lack, as C tables for src/pb.
 *
 *   proto_tables DESCRIPTOR_SET TABLES.c DOCS.c
 *
 * The set comes from `protoc --include_imports --include_source_info`. TABLES.c has types, fields, options and kinds;
 * DOCS.c has the comments, apart, so that a program that never explains anything does not link them. Texts are offsets into
 * one string: a table without pointers needs no relocation, and its pages are shared.
 */
#include "tulle/options.pb.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorSet;
using google::protobuf::SourceLocation;

namespace
{

/* Every distinct text once; offset 0 is the empty one. */
class Texts
{
  public:
    Texts()
    {
        add("");
    }
    size_t add(const std::string &text)
    {
        auto found = offsets_.find(text);
        if (found != offsets_.end())
            return found->second;
        size_t offset = size_;
        offsets_[text] = offset;
        order_.push_back(text);
        size_ += text.size() + 1;
        return offset;
    }
    void write(std::ostream &out, const char *name) const
    {
        out << "const char " << name << "[] =\n";
        for (const std::string &text : order_)
            out << "    \"" << escaped(text) << "\\0\"\n";
        out << "    ;\n\n";
    }

  private:
    static std::string escaped(const std::string &text)
    {
        std::string out;
        for (unsigned char c : text) {
            char octal[8];
            if (c == '"' || c == '\\' || c == '?') /* ? because of trigraphs */
                out += std::string("\\") + static_cast<char>(c);
            else if (c < 32 || c > 126) {
                snprintf(octal, sizeof octal, "\\%03o", c);
                out += octal;
            } else
                out += static_cast<char>(c);
        }
        return out;
    }
    std::map<std::string, size_t> offsets_;
    std::vector<std::string> order_;
    size_t size_ = 0;
};

/* As protoc-c names things: HTTPRoute -> httproute, GoogleRE2 -> google_re2. */
std::string c_word(const std::string &word)
{
    std::string out;
    bool was_upper = true;
    for (char c : word) {
        bool upper = isupper(static_cast<unsigned char>(c));
        if (upper && !was_upper)
            out += '_';
        out += static_cast<char>(tolower(static_cast<unsigned char>(c)));
        was_upper = upper;
    }
    return out;
}

std::string c_name(const std::string &full_name)
{
    std::string out, word;
    std::stringstream words(full_name);
    while (std::getline(words, word, '.'))
        out += (out.empty() ? "" : "__") + c_word(word);
    return out;
}

/* A comment's lines joined into one paragraph each; an empty line parts paragraphs. */
std::string comment(const SourceLocation &at)
{
    std::string out, line;
    std::stringstream lines(at.leading_comments.empty() ? at.trailing_comments
                                                        : at.leading_comments);
    bool parted = false;
    while (std::getline(lines, line)) {
        size_t from = line.find_first_not_of(" \t");
        if (from == std::string::npos) {
            parted = true;
            continue;
        }
        if (!out.empty())
            out += parted ? "\n" : " ";
        parted = false;
        out += line.substr(from, line.find_last_not_of(" \t") + 1 - from);
    }
    return out;
}

template <typename Element> std::string doc(const Element *element)
{
    SourceLocation at;
    return element->GetSourceLocation(&at) ? comment(at) : "";
}

const std::map<std::string, tulle::JsonForm> well_known = {
    {"google.protobuf.Any", tulle::JSON_ANY},
    {"google.protobuf.Struct", tulle::JSON_STRUCT},
    {"google.protobuf.Value", tulle::JSON_VALUE},
    {"google.protobuf.ListValue", tulle::JSON_LIST_VALUE},
    {"google.protobuf.Timestamp", tulle::JSON_TIMESTAMP},
    {"google.protobuf.Duration", tulle::JSON_DURATION},
    {"google.protobuf.FieldMask", tulle::JSON_FIELD_MASK},
    {"google.protobuf.DoubleValue", tulle::JSON_WRAPPER},
    {"google.protobuf.FloatValue", tulle::JSON_WRAPPER},
    {"google.protobuf.Int64Value", tulle::JSON_WRAPPER},
    {"google.protobuf.UInt64Value", tulle::JSON_WRAPPER},
    {"google.protobuf.Int32Value", tulle::JSON_WRAPPER},
    {"google.protobuf.UInt32Value", tulle::JSON_WRAPPER},
    {"google.protobuf.BoolValue", tulle::JSON_WRAPPER},
    {"google.protobuf.StringValue", tulle::JSON_WRAPPER},
    {"google.protobuf.BytesValue", tulle::JSON_WRAPPER},
};

tulle::JsonForm form_of(const Descriptor *message)
{
    auto known = well_known.find(message->full_name());
    if (known != well_known.end())
        return known->second;
    return message->options().GetExtension(tulle::message).json_form();
}

const tulle::FileRules &rules_of(const FileDescriptor *file)
{
    return file->options().GetExtension(tulle::file);
}

const FieldDescriptor *value_of(const FieldDescriptor *field)
{
    return field->is_map() ? field->message_type()->FindFieldByNumber(2) : field;
}

bool is_64_bit(const FieldDescriptor *field)
{
    auto type = value_of(field)->cpp_type();
    return type == FieldDescriptor::CPPTYPE_INT64 || type == FieldDescriptor::CPPTYPE_UINT64;
}

tulle::JsonForm form_of(const FieldDescriptor *field)
{
    const auto &rules = field->options().GetExtension(tulle::field);
    if (rules.has_json_form())
        return rules.json_form();
    const Descriptor *type = value_of(field)->message_type();
    if (type && type->full_name() == "google.protobuf.Duration" &&
        rules_of(field->file()).has_duration())
        return rules_of(field->file()).duration();
    return tulle::JSON_PLAIN;
}

bool is_implicit(const FieldDescriptor *field)
{
    if (field->is_repeated() || field->containing_oneof() || field->message_type())
        return false;
    if (field->file()->syntax() == FileDescriptor::SYNTAX_PROTO3)
        return true;
    return rules_of(field->file()).implicit_presence() &&
           !field->options().GetExtension(tulle::field).explicit_presence();
}

std::string flags_of(const FieldDescriptor *field)
{
    const auto &rules = field->options().GetExtension(tulle::field);
    const auto &file = rules_of(field->file());
    const std::vector<std::pair<bool, const char *>> flags = {
        {field->is_map(), "FIELD_MAP"},
        {is_implicit(field), "FIELD_IMPLICIT"},
        {rules.json_only() || file.json_only(), "FIELD_JSON_ONLY"},
        {rules.acts(), "FIELD_ACTS"},
        {rules.restricts(), "FIELD_RESTRICTS"},
        {rules.required(), "FIELD_REQUIRED"},
        {rules.immutable(), "FIELD_IMMUTABLE"},
        {rules.read_only(), "FIELD_READ_ONLY"},
        {rules.secret(), "FIELD_SECRET"},
        {file.kubernetes_json() && is_64_bit(field), "FIELD_NUMBER_64"},
        {file.served(), "FIELD_SERVED"},
    };
    std::string out;
    for (const auto &flag : flags)
        if (flag.first)
            out += (out.empty() ? "" : " | ") + std::string(flag.second);
    return out.empty() ? "0" : out;
}

class Tables
{
  public:
    void add(const Descriptor *message)
    {
        types_.push_back(message);
        for (int i = 0; i < message->nested_type_count(); i++)
            add(message->nested_type(i));
    }
    void write(std::ostream &tables, std::ostream &docs)
    {
        std::sort(types_.begin(), types_.end(), [](const Descriptor *a, const Descriptor *b) {
            return a->full_name() < b->full_name();
        });
        std::ostringstream fields, rows;
        for (size_t i = 0; i < types_.size(); i++)
            write_type(i, fields, rows);

        tables << "/* Made by tools/proto_tables.cc from proto/. */\n#include "
                  "\"pb/tables_internal.h\"\n\n";
        for (const Descriptor *type : types_)
            tables << "extern const ProtobufCMessageDescriptor " << c_name(type->full_name())
                   << "__descriptor;\n";
        tables << "\nstatic const struct pb_field fields[] = {\n"
               << fields.str() << "    {0}};\n\n";
        tables << "const struct pb_type pb_type_rows[] = {\n" << rows.str() << "};\n";
        tables << "const size_t pb_type_row_count = " << types_.size() << ";\n\n";
        tables << "const struct pb_rules pb_rules_rows[] = {\n    {0},\n"
               << rules_.str() << "};\n\n";
        tables << "const uint32_t pb_only_rows[] = {" << only_.str() << "0};\n\n";
        write_kinds(tables);
        texts_.write(tables, "pb_table_texts");

        docs << "/* Made by tools/proto_tables.cc from proto/. */\n#include "
                "\"pb/tables_internal.h\"\n\n";
        docs << "const uint32_t pb_doc_rows[] = {" << doc_rows_.str() << "0};\n\n";
        doc_texts_.write(docs, "pb_doc_texts");
    }

  private:
    void write_type(size_t index, std::ostream &fields, std::ostream &rows)
    {
        const Descriptor *type = types_[index];
        const auto &rules = type->options().GetExtension(tulle::message);
        rows << "    {&" << c_name(type->full_name()) << "__descriptor, fields + " << field_count_
             << ", (enum json_form)" << form_of(type) << ", "
             << (rules_of(type->file()).served() ? "true" : "false") << ", "
             << (rules.has_kind() ? kind_of(index, rules.kind()) : 0) << ", " << doc_count_
             << "},\n";

        add_doc(doc(type));
        std::vector<const FieldDescriptor *> ordered;
        for (int i = 0; i < type->field_count(); i++)
            ordered.push_back(type->field(i));
        std::sort(ordered.begin(), ordered.end(),
                  [](const FieldDescriptor *a, const FieldDescriptor *b) {
                      return a->number() < b->number();
                  });
        for (const FieldDescriptor *field : ordered) {
            const auto *oneof = field->real_containing_oneof();
            fields << "    {" << texts_.add(field->json_name()) << ", "
                   << (oneof ? texts_.add(oneof->name()) : 0) << ", "
                   << rules_row(field->options().GetExtension(tulle::field)) << ", "
                   << flags_of(field) << ", (enum json_form)" << form_of(field) << "},\n";
            field_count_++;
            add_doc(doc(field));
        }
    }
    void add_doc(const std::string &text)
    {
        doc_rows_ << doc_texts_.add(text) << ",";
        doc_count_++;
    }
    size_t rules_row(const tulle::FieldRules &rules)
    {
        if (!rules.has_at_least() && !rules.has_at_most() && !rules.max_bytes() &&
            !rules.min_items() && !rules.max_items() && !rules.has_refused() &&
            rules.only().empty())
            return 0;
        size_t first_only = only_count_;
        for (const std::string &value : rules.only()) {
            only_ << texts_.add(value) << ",";
            only_count_++;
        }
        rules_ << "    {" << rules.at_least() << ", " << rules.at_most() << ", "
               << rules.max_bytes() << ", " << rules.min_items() << ", " << rules.max_items()
               << ", " << (rules.has_refused() ? texts_.add(rules.refused()) : 0) << ", "
               << first_only << ", " << rules.only_size() << ", "
               << (rules.has_at_least() ? "true" : "false") << ", "
               << (rules.has_at_most() ? "true" : "false") << "},\n";
        return ++rules_count_;
    }
    size_t kind_of(size_t type, const tulle::Kind &kind)
    {
        kinds_.push_back({type, kind});
        return kinds_.size();
    }
    template <typename List> static std::string list(const List &values)
    {
        std::string out = "(const char *const[]){";
        for (const std::string &value : values)
            out += '"' + value + "\", ";
        return out + "NULL}";
    }
    void write_kinds(std::ostream &out) const
    {
        out << "const struct pb_kind pb_kind_rows[] = {\n";
        for (const auto &entry : kinds_) {
            const tulle::Kind &kind = entry.second;
            out << "    {\"" << kind.group() << "\", \"" << kind.kind() << "\", \"" << kind.plural()
                << "\", \"" << kind.singular() << "\", " << list(kind.version()) << ", "
                << list(kind.short_name()) << ", " << list(kind.category()) << ", pb_type_rows + "
                << entry.first << ", " << (kind.cluster_scoped() ? "true" : "false") << "},\n";
        }
        out << "};\nconst size_t pb_kind_row_count = " << kinds_.size() << ";\n\n";
    }

    std::vector<const Descriptor *> types_;
    std::vector<std::pair<size_t, tulle::Kind>> kinds_;
    Texts texts_, doc_texts_;
    std::ostringstream rules_, only_, doc_rows_;
    size_t field_count_ = 0, doc_count_ = 0, rules_count_ = 0, only_count_ = 0;
};

} /* namespace */

int main(int count, char **arguments)
{
    if (count != 4) {
        std::cerr << "usage: proto_tables DESCRIPTOR_SET TABLES.c DOCS.c\n";
        return 2;
    }
    FileDescriptorSet set;
    std::ifstream in(arguments[1], std::ios::binary);
    if (!set.ParseFromIstream(&in)) {
        std::cerr << "proto_tables: " << arguments[1] << " is not a descriptor set\n";
        return 1;
    }
    DescriptorPool pool;
    Tables tables;
    for (const auto &proto : set.file()) {
        const FileDescriptor *file = pool.BuildFile(proto);
        if (!file)
            return 1;
        if (file->name() == "google/protobuf/descriptor.proto" ||
            file->name() == "tulle/options.proto")
            continue;
        for (int i = 0; i < file->message_type_count(); i++)
            tables.add(file->message_type(i));
    }
    std::ofstream out(arguments[2]), docs(arguments[3]);
    tables.write(out, docs);
    out.flush();
    docs.flush();
    if (!out || !docs) {
        std::cerr << "proto_tables: cannot write\n";
        return 1;
    }
    return 0;
}

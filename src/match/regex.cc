extern "C" {
#include "match/regex.h"
}

#include <new>
#include <re2/re2.h>

using re2::RE2;
using re2::StringPiece;

struct regex {
    RE2 re;
    regex(const StringPiece &pattern, const RE2::Options &options) : re(pattern, options)
    {
    }
};

/* What RE2 may use for programs and for the cache of states. */
static const int64_t REGEX_MEMORY = 2 << 20;

static RE2::Options options_of(bool ignore_case)
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_encoding(RE2::Options::EncodingLatin1);
    options.set_case_sensitive(!ignore_case);
    options.set_max_mem(REGEX_MEMORY);
    return options;
}

static bool check(const regex *compiled, struct error *error)
{
    const RE2 &re = compiled->re;
    if (!re.ok())
        return error_set(error, NULL, "'%.200s' is no regular expression: %s", re.pattern().c_str(),
                         re.error().c_str());
    if (re.ProgramSize() > REGEX_MAX_PROGRAM || re.ReverseProgramSize() > REGEX_MAX_PROGRAM)
        return error_set(
            error, NULL,
            "the regular expression '%.200s' compiles to %d steps, and the limit is %d",
            re.pattern().c_str(), re.ProgramSize(), (int)REGEX_MAX_PROGRAM);
    return true;
}

extern "C" bool regex_compile(struct slice pattern, bool ignore_case, struct regex **out,
                              struct error *error)
{
    if (pattern.size > REGEX_MAX_BYTES)
        return error_set(error, NULL, "the regular expression has %zu bytes, and the limit is %d",
                         pattern.size, (int)REGEX_MAX_BYTES);
    regex *compiled = new regex(StringPiece(pattern.data, pattern.size), options_of(ignore_case));
    if (!check(compiled, error)) {
        delete compiled;
        return false;
    }
    *out = compiled;
    return true;
}

extern "C" void regex_destroy(struct regex *regex)
{
    delete regex;
}

static bool match(const regex *regex, struct slice text, RE2::Anchor anchor)
{
    return regex->re.Match(StringPiece(text.data, text.size), 0, text.size, anchor, nullptr, 0);
}

extern "C" bool regex_matches(const struct regex *regex, struct slice text)
{
    return match(regex, text, RE2::ANCHOR_BOTH);
}

extern "C" bool regex_finds(const struct regex *regex, struct slice text)
{
    return match(regex, text, RE2::UNANCHORED);
}

extern "C" struct slice regex_pattern(const struct regex *regex)
{
    const std::string &pattern = regex->re.pattern();
    return slice_of(pattern.data(), pattern.size());
}

extern "C" bool regex_ignores_case(const struct regex *regex)
{
    return !regex->re.options().case_sensitive();
}

extern "C" bool regex_check_substitution(const struct regex *regex, struct slice substitution,
                                         struct error *error)
{
    if (substitution.size > REGEX_MAX_SUBSTITUTION)
        return error_set(error, NULL, "the substitution has %zu bytes, and the limit is %d",
                         substitution.size, (int)REGEX_MAX_SUBSTITUTION);
    int groups = regex->re.NumberOfCapturingGroups();
    for (size_t i = 0; i < substitution.size; i++) {
        if (substitution.data[i] != '\\')
            continue;
        char next = ++i < substitution.size ? substitution.data[i] : '\0';
        if (next == '\\' || (next >= '0' && next <= '9' && next - '0' <= groups))
            continue;
        return error_set(
            error, NULL,
            "the substitution may use \\0 to \\%d, for the groups of '%.200s', and \\\\",
            groups > 9 ? 9 : groups, regex->re.pattern().c_str());
    }
    return true;
}

namespace
{
struct output {
    char *bytes;
    size_t capacity;
    size_t size;

    bool append(const char *from, size_t count)
    {
        if (count > capacity - size)
            return false;
        if (count > 0)
            memcpy(bytes + size, from, count);
        size += count;
        return true;
    }
};
} // namespace

static bool write_substitution(output *out, struct slice substitution, const StringPiece *groups)
{
    for (size_t i = 0; i < substitution.size; i++) {
        const char *at = substitution.data + i;
        if (*at != '\\') {
            if (!out->append(at, 1))
                return false;
            continue;
        }
        i++; /* regex_check_substitution saw that something follows */
        if (at[1] == '\\') {
            if (!out->append(at, 1))
                return false;
        } else if (!out->append(groups[at[1] - '0'].data(), groups[at[1] - '0'].size())) {
            return false;
        }
    }
    return true;
}

extern "C" bool regex_replace(const struct regex *regex, struct slice text,
                              struct slice substitution, char *bytes, size_t capacity, size_t *size)
{
    StringPiece whole(text.size > 0 ? text.data : "", text.size);
    StringPiece groups[REGEX_MAX_GROUPS];
    output out = {bytes, capacity, 0};
    size_t at = 0, last_end = SIZE_MAX;
    int replacements = 0;

    while (at <= text.size &&
           regex->re.Match(whole, at, text.size, RE2::UNANCHORED, groups, REGEX_MAX_GROUPS)) {
        size_t begin = (size_t)(groups[0].data() - whole.data());
        size_t end = begin + groups[0].size();
        if (!out.append(whole.data() + at, begin - at))
            return false;
        if (begin == end && begin == last_end) {
            /* An empty match right behind the last one would go on for ever: step over a byte. */
            if (begin < text.size && !out.append(whole.data() + begin, 1))
                return false;
            at = begin + 1;
            continue;
        }
        if (++replacements > REGEX_MAX_REPLACEMENTS ||
            !write_substitution(&out, substitution, groups))
            return false;
        at = last_end = end;
    }
    if (at < text.size && !out.append(whole.data() + at, text.size - at))
        return false;
    *size = out.size;
    return true;
}

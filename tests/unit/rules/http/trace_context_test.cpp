#include "rules/http/trace_context.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "rules/base/text.hpp"

using namespace larder::rules;

namespace {

constexpr const char* trace = "0af7651916cd43dd8448eb211c80319c";

Fields fields_of(const std::vector<std::pair<FieldId, std::string_view>>& lines)
{
    Fields fields;
    for (const auto& [id, value] : lines) fields.all.push_back({"", value, id});
    return fields;
}

}  // namespace

TEST_CASE("traceparent: version 00 exactly, of a later version what 00 would read of it, and nothing doubtful")
{
    struct Row {
        const char* why;
        std::string value;
        bool is_valid;
    };
    const std::string id(trace), good = "00-" + id + "-b7ad6b7169203331-01";
    const Row rows[] = {
        {"sampled", good, true},
        {"not sampled", "00-" + id + "-b7ad6b7169203331-00", true},
        {"flags that are not known yet", "00-" + id + "-b7ad6b7169203331-ff", true},
        {"a later version", "cc-" + id + "-b7ad6b7169203331-01", true},
        {"a later version with more behind a dash", "cc-" + id + "-b7ad6b7169203331-01-what-comes", true},
        {"a later version with more, but no dash", "cc-" + id + "-b7ad6b7169203331-01x", false},
        {"version 00 has nothing behind its flags", good + "-more", false},
        {"version 00 with a dash at its end", good + "-", false},
        {"version ff is forbidden", "ff-" + id + "-b7ad6b7169203331-01", false},
        {"a version that is not hex", ".0-" + id + "-b7ad6b7169203331-01", false},
        {"upper case in the version", "CC-" + id + "-b7ad6b7169203331-01", false},
        {"upper case in the trace", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
        {"upper case in the parent", "00-" + id + "-B7AD6B7169203331-01", false},
        {"upper case in the flags", "00-" + id + "-b7ad6b7169203331-0A", false},
        {"a trace of zeros", "00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
        {"half a trace of zeros is one", "00-0000000000000000" + id.substr(16) + "-b7ad6b7169203331-01", true},
        {"a parent of zeros", "00-" + id + "-0000000000000000-01", false},
        {"other dashes", "00." + id + ".b7ad6b7169203331.01", false},
        {"too short", good.substr(0, 54), false},
        {"one flag", "00-" + id + "-b7ad6b7169203331-1", false},
        {"flags that are not hex", "00-" + id + "-b7ad6b7169203331-.0", false},
        {"a trace too short", "00-" + id.substr(1) + "-b7ad6b7169203331-01", false},
        {"a trace too long", "00-" + id + "0-b7ad6b7169203331-01", false},
        {"a space before it", " " + good, false},
        {"empty", "", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(parse_traceparent(row.value).has_value() == row.is_valid);
    }
}

TEST_CASE("what a traceparent says is written as it was read")
{
    const std::string value = "00-" + std::string(trace) + "-b7ad6b7169203331-01";
    const auto read = parse_traceparent(value);
    REQUIRE(read);
    CHECK(read->trace == TraceId{0x0af7651916cd43dd, 0x8448eb211c80319c});
    CHECK(read->parent == 0xb7ad6b7169203331);
    CHECK(read->sampled);
    CHECK(text_of(hex(read->trace)) == trace);
    CHECK(text_of(hex(read->parent)) == "b7ad6b7169203331");
    CHECK(text_of(format_traceparent(read->trace, read->parent, true)) == value);
    CHECK(text_of(format_traceparent(read->trace, 1, false)) == "00-" + std::string(trace) + "-0000000000000001-00");
}

TEST_CASE("only one bit of the flags is looked at")
{
    const std::string before = "00-" + std::string(trace) + "-b7ad6b7169203331-";
    CHECK(parse_traceparent(before + "09")->sampled);
    CHECK(parse_traceparent(before + "03")->sampled);
    CHECK_FALSE(parse_traceparent(before + "08")->sampled);
    CHECK_FALSE(parse_traceparent(before + "fe")->sampled);
}

TEST_CASE("a request that has traceparent twice has none, even when both say the same")
{
    const std::string value = "00-" + std::string(trace) + "-b7ad6b7169203331-01";
    CHECK(trace_parent(fields_of({{FieldId::traceparent, value}})));
    CHECK_FALSE(trace_parent(fields_of({{FieldId::traceparent, value}, {FieldId::traceparent, value}})));
    CHECK_FALSE(trace_parent(fields_of({{FieldId::tracestate, value}})));
}

TEST_CASE("tracestate travels on as one list, or not at all when it breaks the rules")
{
    struct Row {
        const char* why;
        std::vector<std::string> lines;
        std::string want;
    };
    std::string members_32, members_33;
    for (int i = 0; i < 33; ++i) {
        const std::string member = "k" + std::to_string(i) + "=v";
        if (i < 32) members_32 += (i == 0 ? "" : ",") + member;
        members_33 += (i == 0 ? "" : ",") + member;
    }
    const Row rows[] = {
        {"as it came", {"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
        {"several lines are one list", {"a=1", "b=2"}, "a=1,b=2"},
        {"white space around members", {"a=1 ,\t b=2"}, "a=1,b=2"},
        {"empty members are allowed", {"a=1,,b=2,", " "}, "a=1,b=2"},
        {"nothing", {""}, ""},
        {"keys with a tenant, a digit first, and the other characters", {"t1@s_-*/=x,0k=y"}, "t1@s_-*/=x,0k=y"},
        {"spaces within a value", {"a=one two"}, "a=one two"},
        {"32 members are the most", {members_32}, members_32},
        {"33 are too many", {members_33}, ""},
        {"no value", {"a=1,b"}, ""},
        {"an empty value", {"a="}, ""},
        {"upper case in a key", {"Foo=1"}, ""},
        {"a space in a key", {"foo bar=1"}, ""},
        {"no key", {"=1"}, ""},
        {"a sign of equality in a value", {"a=1=2"}, ""},
        {"a value that is no ASCII", {"a=\xc3\xa4"}, ""},
        {"a key of 256 characters", {std::string(256, 'k') + "=1"}, std::string(256, 'k') + "=1"},
        {"a key of 257", {std::string(257, 'k') + "=1"}, ""},
        {"a value of 257", {"a=" + std::string(257, 'v')}, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        std::vector<std::pair<FieldId, std::string_view>> lines;
        for (const std::string& line : row.lines) lines.emplace_back(FieldId::tracestate, line);
        CHECK(trace_state(fields_of(lines)) == row.want);
    }
}

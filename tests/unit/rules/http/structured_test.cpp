#include "rules/http/structured.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace larder::rules;
using Kind = BareItem::Kind;

namespace {

/// One line for each member, as a canonical text.
std::string show(const BareItem& item)
{
    switch (item.kind) {
    case Kind::integer: return std::to_string(item.integer);
    case Kind::decimal: return item.text;
    case Kind::string: return "'" + item.text + "'";
    case Kind::token: return item.text;
    case Kind::bytes: return ":" + item.text + ":";
    case Kind::boolean: return item.truth ? "?1" : "?0";
    case Kind::date: return "@" + std::to_string(item.integer);
    case Kind::display_string: return "%'" + item.text + "'";
    }
    return {};
}
std::string show(const StructuredItem& item)
{
    std::string text = show(item.value);
    for (const auto& [key, value] : item.parameters) text += ";" + key + "=" + show(value);
    return text;
}
std::string show(const StructuredMember& member)
{
    if (!member.is_inner_list) return show(static_cast<const StructuredItem&>(member));
    std::string text = "(";
    for (const StructuredItem& item : member.inner) text += (text.size() > 1 ? " " : "") + show(item);
    text += ")";
    for (const auto& [key, value] : member.parameters) text += ";" + key + "=" + show(value);
    return text;
}
std::string list(std::string_view text)
{
    const auto parsed = parse_structured_list(text);
    if (!parsed) return "invalid";
    std::string shown;
    for (const StructuredMember& member : *parsed) shown += (shown.empty() ? "" : " | ") + show(member);
    return shown;
}
std::string dictionary(std::string_view text)
{
    const auto parsed = parse_structured_dictionary(text);
    if (!parsed) return "invalid";
    std::string shown;
    for (const auto& [key, member] : *parsed) shown += (shown.empty() ? "" : " | ") + key + " " + show(member);
    return shown;
}

}  // namespace

TEST_CASE("a list holds items and inner lists, with parameters (RFC 9651 section 3.1)")
{
    CHECK(list("") == "");
    CHECK(list("  ") == "");
    CHECK(list("sugar, tea, rum") == "sugar | tea | rum");
    CHECK(list("a,b\t,\tc ") == "a | b | c");
    CHECK(list(R"("one", "a \"b\" \\c")") == R"('one' | 'a "b" \c')");
    CHECK(list(R"(("foo" "bar"), ("baz"), ())") == "('foo' 'bar') | ('baz') | ()");
    CHECK(list(R"(("foo"; a=1;b=2);lvl=5)") == "('foo';a=1;b=2);lvl=5");
    CHECK(list("abc;a;b=?0; c=tok/en:x") == "abc;a=?1;b=?0;c=tok/en:x");
    CHECK(list("a;x=1;x=2") == "a;x=2");
}

TEST_CASE("bare items of every kind (RFC 9651 section 3.3)")
{
    CHECK(list("42, -17, 0, 007") == "42 | -17 | 0 | 7");
    CHECK(list("999999999999999, -999999999999999") == "999999999999999 | -999999999999999");
    CHECK(list("4.5, -0.125") == "4.5 | -0.125");
    CHECK(list("*token, T0ken") == "*token | T0ken");
    CHECK(list(":aGVsbG8=:, :aGVsbG8:, :YQ==:, ::") == ":aGVsbG8=: | :aGVsbG8: | :YQ==: | ::");
    CHECK(list("?1, ?0") == "?1 | ?0");
    CHECK(list("@1659578233, @-62135596800") == "@1659578233 | @-62135596800");
    CHECK(list(R"(%"f%c3%bc")") == "%'f\xc3\xbc'");
}

TEST_CASE("a wrong byte makes the whole field invalid")
{
    for (const char* text : {"a,",
                             ",a",
                             "a,,b",
                             "a b",
                             "\ta",
                             R"("open)",
                             R"("a\b")",
                             "\"tab\there\"",
                             "\"\xc3\xbc\"",
                             "1000000000000000",
                             "1.",
                             "1.2345",
                             "1234567890123.1",
                             "-",
                             "--1",
                             "?2",
                             "?",
                             ":a b:",
                             ":abc",
                             ":=aGVsbG8:",
                             ":aG=VsbG8:",
                             ":aGVsbA===:",
                             ":aGVsb:",
                             "(a",
                             "(a,b)",
                             "(a\"b\")",
                             "a;",
                             "a;A=1",
                             "a;b=",
                             "{a}",
                             "@1.5",
                             R"(%"%C3")",
                             R"(%"%c")",
                             R"(%x)",
                             R"(%"%ff")",
                             R"(%"%c3")",
                             R"(%"%c3%28")",
                             R"(%"%c0%80")",
                             R"(%"%ed%a0%80")"}) {
        CAPTURE(text);
        CHECK(list(text) == "invalid");
    }
}

TEST_CASE("a list has any number of members, a dictionary 1024 keys and an item 256 parameters (RFC 9651 section 3)")
{
    const auto many = [](std::string_view separator, int count) {
        std::string text = "a0";
        for (int i = 1; i < count; ++i) text.append(separator).append("a" + std::to_string(i));
        return text;
    };
    CHECK(parse_structured_list(many(",", 5000))->size() == 5000);
    CHECK(parse_structured_dictionary(many(",", 1024))->size() == 1024);
    CHECK_FALSE(parse_structured_dictionary(many(",", 1025)).has_value());
    CHECK(parse_structured_list("x;" + many(";", 256))->front().parameters.size() == 256);
    CHECK_FALSE(parse_structured_list("x;" + many(";", 257)).has_value());
}

TEST_CASE("a dictionary has keys in lower case, and of two values of a key the last counts (RFC 9651 section 3.2)")
{
    CHECK(dictionary("") == "");
    CHECK(dictionary("max-age=60, s-maxage=30") == "max-age 60 | s-maxage 30");
    CHECK(dictionary("no-store, private;x=1") == "no-store ?1 | private ?1;x=1");
    CHECK(dictionary("a=1, b=2, a=3") == "a 3 | b 2");
    CHECK(dictionary("a=(1 2);x, *k.1_-=?0") == "a (1 2);x=?1 | *k.1_- ?0");
    for (const char* text : {"Max-Age=60", "a=", "a =1", "a= 1", "a=1,", "1=a", "max-age=60 s-maxage=1", "a=1;;b"}) {
        CAPTURE(text);
        CHECK(dictionary(text) == "invalid");
    }
}

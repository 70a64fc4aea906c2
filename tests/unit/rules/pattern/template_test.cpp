#include "rules/pattern/template.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;

TEST_CASE("a template is cut into literals and placeholders, each with its source, name, fallback and column")
{
    const auto parsed = parse_template(
        "u:{id}:{query.page|1}{header.X-Tenant}:{cookie.sid}:{host}{path}{query}{method}", TemplateUse::key);
    REQUIRE(parsed.errors.empty());
    struct Row {
        Source source;
        const char* name;
        std::optional<std::string> fallback;
        std::size_t column;
    };
    const Row rows[] = {
        {Source::literal, "u:", {}, 0},       {Source::path_value, "id", {}, 2},
        {Source::literal, ":", {}, 6},        {Source::query_value, "page", "1", 7},
        {Source::header, "X-Tenant", {}, 21}, {Source::literal, ":", {}, 38},
        {Source::cookie, "sid", {}, 39},      {Source::literal, ":", {}, 51},
        {Source::host, "", {}, 52},           {Source::path, "", {}, 58},
        {Source::query, "", {}, 64},          {Source::method, "", {}, 71},
    };
    REQUIRE(parsed.value.parts.size() == std::size(rows));
    for (std::size_t i = 0; i < std::size(rows); ++i) {
        CAPTURE(i);
        CHECK(parsed.value.parts[i].source == rows[i].source);
        CHECK(parsed.value.parts[i].name == rows[i].name);
        CHECK(parsed.value.parts[i].fallback == rows[i].fallback);
        CHECK(parsed.value.parts[i].column == rows[i].column);
    }
}

TEST_CASE("a purge template may hold wildcards and values of the body and of the response")
{
    const auto parsed = parse_template("a:**:{body.items.0.id}:{response.header.Location}", TemplateUse::purge);
    REQUIRE(parsed.errors.empty());
    REQUIRE(parsed.value.parts.size() == 6);
    CHECK(parsed.value.parts[1].source == Source::wildcard);
    CHECK(parsed.value.parts[3].name == "items.0.id");
    CHECK(parsed.value.parts[5].name == "Location");
}

TEST_CASE("a template error says where it is and what to write")
{
    struct Row {
        const char* why;
        const char* text;
        TemplateUse use;
        std::size_t column;
        const char* part;
    };
    const Row rows[] = {
        {"a transposed word", "k:{qeury.page}", TemplateUse::key, 2, "did you mean {query.page}?"},
        {"a plural", "{headers.X-Id}", TemplateUse::key, 0, "did you mean {header.X-Id}?"},
        {"response without header", "{response.Location}", TemplateUse::purge, 0, "{response.header.Location}"},
        {"the body is not known at lookup", "{body.id}", TemplateUse::key, 0, "purge only"},
        {"a wildcard names many entries", "a:*", TemplateUse::key, 2, "purge pattern only"},
        {"the mark of an optional segment", "a:{id?}", TemplateUse::purge, 2, "write {id}"},
        {"not closed", "a:{id", TemplateUse::key, 2, "without '}'"},
        {"closed only", "a}", TemplateUse::key, 1, "without '{'"},
        {"nested", "a{b{c}}", TemplateUse::key, 1, "without '}'"},
        {"empty placeholder", "{}", TemplateUse::key, 0, "empty placeholder"},
        {"no name", "{query.}", TemplateUse::key, 0, "lacks a name"},
        {"no name either", "{cookie}", TemplateUse::key, 0, "{cookie.NAME}"},
        {"one byte wildcard", "a?", TemplateUse::purge, 1, "write '*'"},
        {"space", "a b", TemplateUse::key, 1, "printable"},
        {"not a header", "{header.a b}", TemplateUse::key, 0, "not a valid header"},
        {"empty", "", TemplateUse::key, 0, "empty"},
        {"fallback to everything", "{body.id|*}", TemplateUse::purge, 0, "by itself"},
        {"empty step", "{body.a..b}", TemplateUse::purge, 0, "empty step"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const auto parsed = parse_template(row.text, row.use);
        REQUIRE(!parsed.errors.empty());
        CAPTURE(parsed.errors[0].message);
        CHECK(parsed.errors[0].column == row.column);
        CHECK(parsed.errors[0].message.find(row.part) != std::string::npos);
    }
}

TEST_CASE("a cookie or a header names somebody, but not a header that only chooses a form of the answer")
{
    auto identity = [](const char* text) { return parse_template(text, TemplateUse::key).value.has_identity(); };
    CHECK(identity("a:{cookie.sid}"));
    CHECK(identity("a:{header.Authorization}"));
    CHECK(identity("a:{header.X-Tenant}"));
    CHECK_FALSE(identity("a:{header.Accept-Language}"));
    CHECK_FALSE(identity("a:{header.Sec-CH-UA}"));
    CHECK_FALSE(identity("a:{id}:{query.user}"));
}

#include "rules/http/target.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace larder::rules;

TEST_CASE("RFC 3986 6.2.2: a path has one normal form, and what two servers may read differently is ambiguous")
{
    struct Row {
        const char* why;
        const char* raw;
        PathForm form;
        const char* want;
    };
    const auto normal = PathForm::normal, normalised = PathForm::normalised, ambiguous = PathForm::ambiguous;
    const Row rows[] = {
        {"plain", "/api/events/7", normal, "/api/events/7"},
        {"the root", "/", normal, "/"},
        {"a slash at the end means something", "/a/", normal, "/a/"},
        {"dots inside names are names", "/a/.well-known/..b/c..", normal, "/a/.well-known/..b/c.."},
        {"an encoded digit is a digit", "/items/%37", normalised, "/items/7"},
        {"hex digits in upper case", "/a%c3%a9", normalised, "/a%C3%A9"},
        {"an escape that has to stay", "/a%20b", normal, "/a%20b"},
        {"reserved characters stay encoded", "/a%3ab", normalised, "/a%3Ab"},
        {"bytes above ASCII are encoded", "/caf\xC3\xA9", normalised, "/caf%C3%A9"},
        {"one dot", "/a/./b", ambiguous, "/a/b"},
        {"two dots", "/a/b/../c", ambiguous, "/a/c"},
        {"one dot at the end", "/a/.", ambiguous, "/a/"},
        {"two dots at the end", "/a/b/..", ambiguous, "/a/"},
        {"encoded dots are dots", "/a/%2e%2E/b", ambiguous, "/b"},
        {"half-encoded dots too", "/a/.%2e/b", ambiguous, "/b"},
        {"never above the root", "/../../a", ambiguous, "/a"},
        {"nothing left", "/..", ambiguous, "/"},
        {"two slashes", "//a//b", ambiguous, "/a/b"},
        {"two slashes at the end", "/a//", ambiguous, "/a/"},
        {"encoded slash", "/a%2fb", ambiguous, "/a%2Fb"},
        {"encoded backslash", "/a%5cb", ambiguous, "/a%5Cb"},
        {"backslash", "/a\\b", ambiguous, "/a\\b"},
        {"encoded NUL", "/a%00", ambiguous, "/a%00"},
        {"encoded line end", "/a%0d%0a", ambiguous, "/a%0D%0A"},
        {"a session id of Java", "/items/7;jsessionid=1/x", ambiguous, "/items/7/x"},
        {"dots hidden by a parameter", "/a/..;x/b", ambiguous, "/b"},
        {"an encoded semicolon", "/a%3bb", ambiguous, "/a%3Bb"},
        {"not an escape", "/a%zz", ambiguous, "/a%25zz"},
        {"half an escape", "/a%4", ambiguous, "/a%254"},
        {"not an escape, nor with what is decoded behind it", "/%%32e", ambiguous, "/%252e"},
        {"double encoding is not undone", "/a%2537", normal, "/a%2537"},
        {"OPTIONS *", "*", ambiguous, "*"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        std::string scratch;
        const NormalPath path = normalise_path(row.raw, scratch);
        CHECK(path.form == row.form);
        CHECK(path.text == row.want);
    }
}

TEST_CASE("normalising a normal form changes nothing, whatever the bytes")
{
    std::mt19937 random(7);
    const std::string_view alphabet = "/.%;23eE5cCfF0aA\\~-\xC3";
    for (int round = 0; round < 20000; ++round) {
        std::string raw = "/";
        for (unsigned length = random() % 16; length > 0; --length) raw += alphabet[random() % alphabet.size()];
        std::string once, twice;
        const NormalPath first = normalise_path(raw, once);
        const NormalPath second = normalise_path(first.text, twice);
        CAPTURE(raw);
        CHECK(second.text == first.text);
        if (first.form != PathForm::ambiguous) CHECK(second.form == PathForm::normal);
        if (first.form == PathForm::normal) CHECK(first.text == raw);
    }
}

TEST_CASE("a query is sorted by name, keeps the order of equal names and has one encoding")
{
    struct Row {
        const char* why;
        const char* raw;
        const char* want;
    };
    const Row rows[] = {
        {"nothing", "", ""},
        {"by name", "b=2&a=1", "a=1&b=2"},
        {"equal names keep their order", "a=2&b=1&a=1", "a=2&a=1&b=1"},
        {"empty parts are left out", "&&b=1&", "b=1"},
        {"a name alone is not a name with an empty value", "b&a=", "a=&b"},
        {"names are compared decoded", "b=2&%61=1", "a=1&b=2"},
        {"a reserved byte stays encoded", "a=%26x%3d", "a=%26x%3D"},
        {"a plus stays a plus", "a=x+y", "a=x+y"},
        {"an invalid escape stays", "a=%zz", "a=%zz"},
        {"nothing is decoded behind one, or it would become another", "x=%2%35", "x=%2%35"},
        {"nor before it", "x=%35%2&a=%", "a=%&x=%35%2"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(sorted_query(row.raw) == row.want);
    }
}

TEST_CASE("decoding leaves invalid escapes alone, and only parameters know the plus")
{
    CHECK(percent_decode("a%20b+c%2") == "a b+c%2");
    CHECK(decode_parameter("a%20b+c%2B") == "a b c+");
    CHECK(parameter_is("p%61ge", "page"));
    CHECK_FALSE(parameter_is("pag", "page"));
}

TEST_CASE("a path has other spellings when a reserved character stands in it, plain or encoded")
{
    for (const char* path :
         {"/a@b", "/a%40b", "/a!b", "/a%21b", "/a%3Ab", "/a:b", "/a,b", "/a%2Bb", "/%22", "/a/b=%3D"}) {
        CAPTURE(path);
        CHECK(has_spellings(path));
    }
    for (const char* path : {"/", "/a/b", "/a-b_c.d~e", "/%C3%A9", "/a%20b", "/a%3Fb", "/a%25b", "/a%23"}) {
        CAPTURE(path);
        CHECK_FALSE(has_spellings(path));
    }
}

#include "rules/pattern/pattern.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace larder::rules;

TEST_CASE("a pattern matches whole keys: '*' any run, '?' one byte, '\\' takes the next byte as it is")
{
    struct Row {
        const char* why;
        const char* pattern;
        const char* key;
        bool want;
    };
    const Row rows[] = {
        {"itself", "event:7", "event:7", true},
        {"not a prefix of it", "event:7", "event:71", false},
        {"any run", "events:list:*", "events:list:1", true},
        {"an empty run", "events:list:*", "events:list:", true},
        {"runs cross colons and slashes", "a*z", "a:b/c:z", true},
        {"a run in the middle tries again", "a*bc", "abcbbc", true},
        {"two runs", "*:x:*", "a:x:x:b", true},
        {"no end", "*:x:*y", "a:x:b", false},
        {"one byte", "a?c", "abc", true},
        {"not no byte", "a?c", "ac", false},
        {"an escaped star is a star", "a\\*", "a*", true},
        {"and nothing else", "a\\*", "ab", false},
        {"everything", "*", "", true},
        {"nothing", "", "", true},
        {"nothing matches only the empty key", "", "a", false},
        {"a backslash at the end stands for itself", "a\\", "a\\", true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(matches(row.pattern, row.key) == row.want);
    }
}

TEST_CASE("a pattern of many stars is refused in quadratic time at worst")
{
    std::string pattern;
    for (int i = 0; i < 60; ++i) pattern += "a*";
    CHECK_FALSE(matches(pattern + "b", std::string(3000, 'a')));
}

TEST_CASE("a pattern that is too long is widened: cut between two tokens, and open at its end")
{
    struct Row {
        const char* why;
        const char* pattern;
        std::size_t limit;
        const char* want;
    };
    const Row rows[] = {
        {"short enough", "list:*", 6, "list:*"},
        {"a byte too long", "list:1*", 6, "list:*"},
        {"an escape is kept whole", "a\\*b\\*c", 5, "a\\*b*"},
        {"or goes whole", "a\\*b\\*c", 3, "a*"},
        {"a run in the middle stays", "*:12345", 4, "*:1*"},
        {"nothing but the star", "\\*\\*", 1, "*"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(widened(row.pattern, row.limit) == row.want);
    }
    std::mt19937 random(2);
    for (int round = 0; round < 3000; ++round) {
        std::string pattern, key;
        for (unsigned n = random() % 8; n > 0; --n) pattern += "ab*?\\"[random() % 5];
        for (unsigned n = random() % 6; n > 0; --n) key += "ab*?\\"[random() % 5];
        const std::size_t limit = 1 + random() % 8;
        CAPTURE(pattern);
        CAPTURE(key);
        const std::string wider = widened(pattern, limit);
        CHECK(wider.size() <= limit);
        if (matches(pattern, key)) CHECK(matches(wider, key));
    }
}

TEST_CASE("an escaped key is an exact pattern that matches that key and no other")
{
    std::mt19937 random(1);
    for (int round = 0; round < 3000; ++round) {
        std::string a, b;
        for (unsigned n = random() % 4; n > 0; --n) a += "ab*?\\:"[random() % 6];
        for (unsigned n = random() % 4; n > 0; --n) b += "ab*?\\:"[random() % 6];
        CAPTURE(a);
        CAPTURE(b);
        CHECK(is_exact(escape(a)));
        CHECK(unescape(escape(a)) == a);
        CHECK(matches(escape(a), b) == (a == b));
    }
    CHECK_FALSE(is_exact("a*"));
    CHECK_FALSE(is_exact("a?"));
}

TEST_CASE("no value leaves its segment, and no two values look the same in a key")
{
    std::mt19937 random(2);
    std::set<std::string> values, escaped;
    for (int round = 0; round < 20000; ++round) {
        std::string value;
        const bool nasty = random() % 2 == 0;
        for (unsigned n = random() % 6; n > 0; --n)
            value += nasty ? ":*?{}\\% 23A\n"[random() % 12] : static_cast<char>(random() % 256);
        std::string text;
        append_key_value(text, value);
        values.insert(value);
        escaped.insert(text);
        for (const char c : text) {
            const bool kept_out = std::string_view(":*?{}\\").find(c) != std::string_view::npos || c <= ' ' || c > '~';
            CHECK_FALSE(kept_out);
        }
    }
    CHECK(values.size() == escaped.size());
}

TEST_CASE("two patterns overlap when a key exists that both match")
{
    struct Row {
        const char* why;
        const char* a;
        const char* b;
        bool want;
    };
    const Row rows[] = {
        {"the same key", "a:1", "a:1", true},
        {"two keys", "a:1", "a:2", false},
        {"a key and its family", "a:*", "a:1", true},
        {"two families", "a:*", "b:*", false},
        {"they meet at the ends", "a*", "*b", true},
        {"their middles exclude each other", "a*x", "a*y", false},
        {"one byte against a run", "a?c", "a*", true},
        {"too short", "a?", "a", false},
        {"an escaped star against a letter", "\\*", "a", false},
        {"runs of nothing", "**", "", true},
        {"the same beginning, then a run", "ab*", "abc", true},
        {"an escaped star in both", "a\\*b", "a\\*b", true},
        {"one byte against an escaped star", "a?b", "a\\*b", true},
        {"a beginning of the other", "ab", "abc", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(may_overlap(row.a, row.b) == row.want);
        CHECK(may_overlap(row.b, row.a) == row.want);
    }
}

TEST_CASE("patterns are never said to be apart while a short key fits both")
{
    std::mt19937 random(3);
    std::vector<std::string> keys = {""};
    for (std::size_t i = 0; keys[i].size() < 5; ++i)
        for (const char c : {'a', 'b'}) keys.push_back(keys[i] + c);
    for (int round = 0; round < 2000; ++round) {
        std::string a, b;
        for (unsigned n = random() % 5; n > 0; --n) a += "ab*?"[random() % 4];
        for (unsigned n = random() % 5; n > 0; --n) b += "ab*?"[random() % 4];
        bool shared = false;
        for (const std::string& key : keys) shared = shared || (matches(a, key) && matches(b, key));
        CAPTURE(a);
        CAPTURE(b);
        if (shared) CHECK(may_overlap(a, b));
        if (!shared && a.size() + b.size() <= 5) CHECK_FALSE(may_overlap(a, b));
    }
}

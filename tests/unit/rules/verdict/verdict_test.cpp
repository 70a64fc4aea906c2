// The words of the decisions: complete, unique, and fit for a header, a metric label and a log.
#include "rules/verdict/verdict.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

using namespace larder::rules;

namespace {

bool is_word(std::string_view word)
{
    return !word.empty() &&
           std::all_of(word.begin(), word.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

}  // namespace

TEST_CASE("every reason to forward has a word of its own, a text and a value that RFC 9211 knows")
{
    const std::set<std::string_view> rfc9211 = {"bypass", "method", "uri-miss", "vary-miss",
                                                "miss",   "stale",  "request",  "partial"};
    std::set<std::string_view> words;
    for (std::size_t i = 1; i < forward_reasons_count; ++i) {
        const auto reason = static_cast<Forward>(i);
        CAPTURE(i);
        CHECK(is_word(word(reason)));
        CHECK(words.insert(word(reason)).second);
        CHECK((rfc9211.contains(fwd(reason)) || reason == Forward::only_if_cached));
        CHECK_FALSE(text(reason).empty());
    }
    CHECK(word(Forward::none) == "none");
    CHECK(fwd(Forward::none).empty());
    CHECK(fwd(Forward::only_if_cached).empty());  // it is not forwarded
    CHECK(word(Forward::query_parameter) == "query-parameter");
    CHECK(fwd(Forward::purged) == "miss");
    CHECK(remedy(Forward::cache_off) == "LARDER_CACHE=on");
    CHECK(remedy(Forward::method).empty());
}

TEST_CASE("every reason not to store has a word of its own and a text")
{
    std::set<std::string_view> words;
    for (std::size_t i = 1; i < store_reasons_count; ++i) {
        const auto reason = static_cast<NotStored>(i);
        CAPTURE(i);
        CHECK(is_word(word(reason)));
        CHECK(words.insert(word(reason)).second);
        CHECK_FALSE(text(reason).empty());
    }
    CHECK(word(NotStored::none) == "none");
    CHECK(word(NotStored::is_private) == "private");
    CHECK(remedy(NotStored::set_cookie) == "strip_set_cookie: true");
}

TEST_CASE("every verdict and every outcome has a word of its own")
{
    std::set<std::string_view> words;
    for (const Verdict verdict :
         {Verdict::hit, Verdict::stale_hit, Verdict::revalidate, Verdict::miss, Verdict::bypass}) {
        CHECK(is_word(word(verdict)));
        CHECK(words.insert(word(verdict)).second);
    }
    words.clear();
    for (std::size_t i = 0; i < outcomes_count; ++i) {
        CHECK(is_word(word(static_cast<Outcome>(i))));
        CHECK(words.insert(word(static_cast<Outcome>(i))).second);
    }
}

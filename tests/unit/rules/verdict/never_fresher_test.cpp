// Nothing is served fresher than it is: a cache of one entry, made of the judges alone, against an oracle that knows
// when each response was made and what its origin allows. Random responses and requests, the same in every run.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "rules/http/date.hpp"
#include "rules/http/targeted.hpp"
#include "rules/verdict/judge_store.hpp"

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

class Chance {
  public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}
    std::int64_t below(std::int64_t limit)
    {
        return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(limit));
    }
    bool one_in(std::int64_t count) { return below(count) == 0; }

  private:
    std::mt19937_64 engine_;
};

constexpr Milliseconds for_ever{std::numeric_limits<std::int64_t>::max() / 4};

/// A response as its origin meant it, beside the text that says so.
struct Made {
    std::string fields;
    WallTime made;  // by the origin
    std::optional<Seconds> s_maxage, max_age, expires;
    Milliseconds while_revalidate{0};
    bool private_or_no_store = false, no_cache = false, strict = false;  // strict: nothing stale

    /// For how long after it was made it may be used without asking.
    Milliseconds lifetime() const
    {
        if (no_cache) return 0ms;
        return s_maxage ? *s_maxage : max_age ? *max_age : expires ? *expires : Seconds{0};
    }
    /// And while it is fetched again.
    Milliseconds usable() const
    {
        const bool window = !strict && !no_cache;
        return lifetime() + (window ? while_revalidate : 0ms);
    }
};

struct Came {
    Made response;
    WallTime requested, received;
};

/// A number of seconds in one of the ways it is written; unreadable ones mean 0.
std::pair<std::string, Seconds> delta(Chance& chance)
{
    const Seconds value(chance.below(120));
    const std::string text = std::to_string(value.count());
    switch (chance.below(12)) {
    case 0: return {'"' + text + '"', value};
    case 1: return {"00" + text, value};
    case 2: return {text + ".5", 0s};
    case 3: return {'-' + text, 0s};
    case 4: return {"", 0s};
    case 5: return {text + "s", 0s};
    default: return {text, value};
    }
}

Came make_response(Chance& chance, WallTime requested)
{
    Came came;
    Made& made = came.response;
    const bool has_date = !chance.one_in(4), has_age = chance.one_in(3);
    const Seconds in_another_cache{has_date || has_age ? chance.below(40) : 0};
    const Milliseconds delay{chance.below(2500)};
    came.requested = requested;
    came.received = requested + delay;
    made.made = requested - in_another_cache;

    const auto line = [&made](const std::string& name, const std::string& value) {
        made.fields += name + ": " + value + "\r\n";
    };
    if (has_date) line("Date", format_date(made.made));
    if (has_age) line(chance.one_in(2) ? "Age" : "age", std::to_string(in_another_cache.count()));
    std::vector<std::string> elements;
    const auto seconds = [&](const std::string& name, std::optional<Seconds>& into) {
        const auto [text, value] = delta(chance);
        into = value;
        elements.push_back(name + '=' + text);
        if (!chance.one_in(8)) return;
        const auto [again, other] = delta(chance);
        elements.push_back(name + '=' + again);
        if (other != value) into = 0s;
    };
    if (chance.one_in(3)) seconds("s-maxage", made.s_maxage);
    if (chance.one_in(2)) seconds("max-age", made.max_age);
    const Seconds window{chance.below(60)};
    if (chance.one_in(3)) {
        made.while_revalidate = window;
        elements.push_back("stale-while-revalidate=" + std::to_string(window.count()));
    }
    if (chance.one_in(6)) made.no_cache = true, elements.emplace_back("No-Cache");
    if (chance.one_in(6)) made.strict = true, elements.emplace_back("must-revalidate");
    if (chance.one_in(8)) made.strict = true, elements.emplace_back("proxy-revalidate");
    if (chance.one_in(10)) made.private_or_no_store = true, elements.emplace_back("private");
    if (chance.one_in(10)) made.private_or_no_store = true, elements.emplace_back("no-store");
    if (chance.one_in(4)) elements.emplace_back("x=\"max-age=9999\"");
    for (const std::string& element : elements) {
        if (chance.one_in(3)) {
            line("Cache-Control", element);
        } else {
            line("cache-control", "foo, " + element + " ,");
        }
    }
    if (chance.one_in(3)) {
        // Without a Date it counts from the arrival, which the origin did not mean to be earlier.
        const Seconds later{chance.below(120)};
        const bool readable = !chance.one_in(5);
        line("Expires", readable ? format_date((has_date ? made.made : came.received) + later) : "0");
        made.expires = readable ? later : 0s;
    }
    if (chance.one_in(2)) line("ETag", "\"v\"");
    return came;
}

StoreJudgement judge(const Came& came, const Rule& rule)
{
    const std::string request_bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string response_bytes = "HTTP/1.1 200 OK\r\n" + came.response.fields + "\r\n";
    RequestHead request;
    ResponseHead response;
    REQUIRE(scan_request(request_bytes, {}, request) == Scan::ok);
    REQUIRE(scan_response(response_bytes, {}, false, response) == Scan::ok);
    return judge_store(request, response, rule, came.requested, came.received);
}

/// What one request allows, as the oracle understands it.
struct Wish {
    RequestDirectives directives;
    Milliseconds oldest = for_ever;  // at most so old
    Milliseconds margin{0};          // so long before its end
    Milliseconds stale{0};           // or so long after it
    bool validated = false, nothing_stale = false;
};

Wish make_wish(Chance& chance)
{
    Wish wish;
    if (chance.one_in(2)) return wish;
    RequestDirectives& directives = wish.directives;
    directives.given = true;
    if (chance.one_in(6)) directives.no_cache = wish.validated = true;
    if (chance.one_in(3)) {
        directives.max_age = Seconds(chance.below(60));
        wish.oldest = *directives.max_age;
        wish.nothing_stale = true;
    }
    if (chance.one_in(4)) {
        directives.min_fresh = Seconds(chance.below(30));
        wish.margin = *directives.min_fresh;
        wish.nothing_stale = true;
    }
    if (chance.one_in(3)) {
        directives.max_stale = Seconds(chance.below(60));
        wish.stale = *directives.max_stale;
    }
    return wish;
}

}  // namespace

TEST_CASE("nothing is served fresher than it is, nor beyond what response and request allow, over any sequence")
{
    const Rule rule;                         // without a ttl: the origin's word alone
    constexpr Milliseconds of_a_date{1000};  // Date has whole seconds
    int hits = 0, stale_hits = 0, fetches = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        Chance chance(seed);
        WallTime now = WallTime{1'782'907'200s} + Milliseconds(chance.below(1000));
        std::optional<Came> kept;
        StoredTimes times;
        for (int step = 0; step < 100; ++step) {
            now += Milliseconds(chance.below(15'000));
            const Wish wish = make_wish(chance);
            if (kept) {
                const Made& made = kept->response;
                CAPTURE(made.fields);
                CAPTURE(seed);
                CAPTURE(step);
                CacheControl stored;
                if (made.strict) stored.must_revalidate = true;
                if (made.s_maxage) stored.s_maxage = made.s_maxage;
                const LookupJudgement judged = wish.directives.given ? judge_lookup(times, now, wish.directives, stored)
                                                                     : judge_lookup(times, now);
                const Milliseconds age = now - made.made;
                REQUIRE(judged.age > age - of_a_date);
                if (judged.verdict == Verdict::hit || judged.verdict == Verdict::stale_hit) {
                    ++(judged.ttl > 0ms ? hits : stale_hits);
                    REQUIRE_FALSE(wish.validated);
                    REQUIRE_FALSE(made.no_cache);
                    REQUIRE_FALSE(made.private_or_no_store);
                    REQUIRE(age < wish.oldest + of_a_date);
                    const bool by_request = wish.stale > 0ms && !made.strict && !made.s_maxage;
                    const Milliseconds by_response = wish.nothing_stale ? made.lifetime() : made.usable();
                    const Milliseconds end = std::max(by_response, made.lifetime() + (by_request ? wish.stale : 0ms));
                    REQUIRE(age < end + of_a_date);
                    if (judged.ttl > 0ms) REQUIRE(age + wish.margin < made.lifetime() + of_a_date);
                    continue;
                }
            }
            ++fetches;
            const Came came = make_response(chance, now);
            now = came.received;
            const StoreJudgement judged = judge(came, rule);
            CAPTURE(came.response.fields);
            if (came.response.private_or_no_store) REQUIRE(judged.reason != NotStored::none);
            if (judged.reason == NotStored::none) {
                kept = came;
                times = judged.times;
            } else {
                kept.reset();
            }
        }
    }
    // A cache that stores nothing would pass all of the above.
    CHECK(hits > 2'000);
    CHECK(stale_hits > 200);
    CHECK(fetches > 5'000);
}

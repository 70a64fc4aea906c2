#include <doctest/doctest.h>

#include "tests/unit/proxy/sidecar.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;
using rules::NotStored;

TEST_CASE("a lease has one holder, for its key and variant, until it is released, stored, purged or too old")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    FillLease mine{"a", "", "one-1@5"}, theirs{"a", "", "two-1@5"};
    REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
    const Leased refused = two.lease(theirs);
    CHECK(refused.kind == Leased::Kind::taken);
    CHECK(refused.holder == "one-1@5");
    CHECK(two.lease({"a", "0123456789abcdef", "two-2@5"}).kind == Leased::Kind::ours);
    CHECK(two.lease({"b", "", "two-3@5"}).kind == Leased::Kind::ours);

    SUBCASE("it ends by itself")
    {
        const auto left = server.admin({"PTTL", one.keys.lease("a")}).integer;
        CHECK(left > 0);
        CHECK(left <= RedisStore::lease_life.count());
    }
    SUBCASE("only its owner releases it")
    {
        two.release(theirs);
        CHECK(two.holder("a") == "one-1@5");
        one.release(mine);
        CHECK(two.holder("a").empty());
        CHECK(two.lease(theirs).kind == Leased::Kind::ours);
    }
    SUBCASE("storing frees it, and only its owner's")
    {
        CHECK(two.put(make_entry("a", "alone"), at) == NotStored::none);
        CHECK(two.holder("a") == "one-1@5");
        CHECK(one.put(make_entry("a", "x"), at, mine) == NotStored::none);
        CHECK(mine.owner.empty());
        CHECK(two.holder("a").empty());
    }
    SUBCASE("so does a refusal")
    {
        two.purge({}, {"a*"});
        CHECK(two.holder("a") == "one-1@5");
        CHECK(one.put(make_entry("a", "x"), at, mine) == NotStored::fenced);
        CHECK(mine.owner.empty());
        CHECK(two.holder("a").empty());
    }
    SUBCASE("the lease of the lookup is freed by the variant that the answer turned out to be")
    {
        CHECK(one.put(make_entry("a", "x", "0123456789abcdef"), at, mine) == NotStored::none);
        CHECK(two.holder("a").empty());
        CHECK(two.holder("a", "0123456789abcdef") == "two-2@5");
    }
    SUBCASE("an exact purge ends it")
    {
        two.purge({"a"}, {});
        CHECK(two.holder("a").empty());
    }
    SUBCASE("a holder that is known to be doomed gives way, to one")
    {
        CHECK(two.lease(theirs, {}, "one-1@5").kind == Leased::Kind::ours);
        CHECK(one.lease({"a", "", "one-2@6"}, {}, "one-1@5").holder == "two-1@5");
        one.release(mine);
        CHECK(two.holder("a") == "two-1@5");
    }
}

TEST_CASE("who asks for a lease learns of a response that he does not know, and gets no lease")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    auto entry = make_entry("a", "x");
    const rules::WallTime stored = entry->times.stored;
    REQUIRE(one.put(entry, at) == NotStored::none);
    const Leased known = two.lease({"a", "", "two-1@5"});
    CHECK(known.kind == Leased::Kind::stored);
    CHECK(known.stored == stored);
    CHECK(two.holder("a").empty());
    // It has expired, or a pattern has voided it: there is something to fetch.
    CHECK(two.lease({"a", "", "two-1@5"}, stored).kind == Leased::Kind::ours);
    CHECK(one.lease({"a", "", "one-1@5"}, stored).kind == Leased::Kind::taken);
    CHECK(one.lease({"a", "", "one-1@5"}).kind == Leased::Kind::stored);
    server.admin({"SET", one.keys.entry("b"), "nonsense"});
    CHECK(two.lease({"b", "", "two-2@5"}).kind == Leased::Kind::ours);
    server.admin({"LPUSH", one.keys.entry("c"), "list"});
    server.admin({"LPUSH", one.keys.lease("c"), "list"});
    CHECK(two.lease({"c", "", "two-3@5"}).kind == Leased::Kind::ours);
}

TEST_CASE("a lease that nobody has, of a response that nobody has stored, is taken without a script")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    auto stale = make_entry("b", "x");
    REQUIRE(one.put(stale, at) == NotStored::none);
    server.admin({"ACL", "SETUSER", "larder", "-eval", "-evalsha"});
    const Leased leased = one.lease({"a", "", "one-1@5"});
    CHECK(leased.kind == Leased::Kind::ours);
    CHECK(leased.counter == at);
    CHECK(leased.connection == one.loop.link.connection());
    CHECK(two.holder("a") == "one-1@5");
    CHECK(one.lease({"b", "", "one-2@5"}, stale->times.stored).kind == Leased::Kind::ours);
    CHECK(one.loop.counters.get(Counter::store_errors) == 0);
    CHECK(two.loop.wait(two.store.lease({"a", "", "two-1@5"}, {}, "")).error() == Errc::store_refused);
}

TEST_CASE("an uncacheable key is known with its reason, to all, for a time, until something is stored")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    FillLease mine{"a", "", "one-1@5"};
    REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
    one.release(mine, NotStored::set_cookie);
    const Leased known = two.lease({"a", "", "two-1@5"});
    CHECK(known.kind == Leased::Kind::uncacheable);
    CHECK(known.reason == NotStored::set_cookie);
    CHECK(known.left > 0ms);
    CHECK(known.left <= 5s);
    const auto life = server.admin({"PTTL", one.keys.lease("a")}).integer;
    CHECK(life > 0);
    CHECK(life <= 5'000);

    SUBCASE("a later response that can be stored ends it")
    {
        CHECK(two.put(make_entry("a", "x"), at) == NotStored::none);
        CHECK(two.holder("a").empty());
    }
    SUBCASE("one that is told of ends it, while a lease stays")
    {
        CHECK(two.loop.wait(two.store.forget_uncacheable("a", "")) == Errc::ok);
        CHECK(two.holder("a").empty());
        REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
        CHECK(two.loop.wait(two.store.forget_uncacheable("a", "")) == Errc::ok);
        CHECK(two.holder("a") == mine.owner);
    }
    SUBCASE("one that is refused does not")
    {
        two.purge({}, {"a*"});
        CHECK(one.put(make_entry("a", "x"), at) == NotStored::fenced);
        CHECK(two.lease({"a", "", "two-1@5"}).kind == Leased::Kind::uncacheable);
    }
    SUBCASE("a reason of another version is a reason all the same")
    {
        const std::string value = server.admin_text({"GET", one.keys.lease("a")});
        server.admin({"SET", one.keys.lease("a"), value.substr(0, value.rfind(' ')) + " of-tomorrow"});
        CHECK(two.lease({"a", "", "two-1@5"}).kind == Leased::Kind::uncacheable);
    }
}

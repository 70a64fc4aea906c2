// What every store promises together with its log, whichever it is: memory with the log in the process (embedded), or
// Redis with the log in Redis. One suite; each backend passes all of it.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/coherence/local_log.hpp"
#include "proxy/coherence/redis_log.hpp"
#include "proxy/coherence/replica.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/store/memory_store.hpp"
#include "proxy/store/redis_store.hpp"
#include "tests/unit/proxy/redis_server.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace std::chrono_literals;
using rules::NotStored;

namespace {

// The embedded store, asked as one worker asks it.
class Memory {
  public:
    Memory() { replica_.reset(*log_.snapshot_here(), instant_now()); }

    Position position() { return *log_.position_here(); }

    NotStored put(std::shared_ptr<Entry> entry, Position token)
    {
        synchronise();
        if (replica_.matched_since(entry->key, token) != Since::clean) return NotStored::fenced;
        entry->position = replica_.position();
        return memory_.insert(std::move(entry), wall_now()) ? NotStored::none : NotStored::newer;
    }
    EntryPtr find(const std::string& key, const std::string& variant = "")
    {
        synchronise();
        EntryPtr entry = memory_.find(storage_key(key, variant), wall_now());
        if (!entry || replica_.matched_since(key, entry->position) != Since::clean) return nullptr;
        return entry;
    }
    void purge(std::vector<std::string> keys, std::vector<std::string> patterns)
    {
        Record record;
        record.keys = std::move(keys);
        record.patterns = std::move(patterns);
        log_.append_here(std::move(record));
    }

  private:
    void synchronise()
    {
        const std::vector<Record> records = log_.records_here(replica_.position()).value();
        for (const Record& record : records) REQUIRE(replica_.apply(record, instant_now()) == Applied::ok);
    }

    MemoryStore memory_{1 << 20};
    LocalLog log_;
    Replica replica_;
};

// The shared store over a server of its own, asked by one sidecar without memory.
class Redis {
  public:
    Redis() : loop_(test::store_at(server_)), keys_("t"), store_(loop_.link, keys_), log_(loop_.link, keys_)
    {
        REQUIRE(loop_.connect());
        const LogSnapshot snapshot = loop_.wait(log_.init()).value();
        replica_.reset(snapshot, instant_now());
    }

    Position position() { return loop_.wait(log_.look()).value(); }

    NotStored put(std::shared_ptr<Entry> entry, Position token)
    {
        FillLease none{std::string(entry->key), std::string(entry->variant), {}};
        return loop_.wait(store_.put(std::move(entry), token, none)).refused;
    }
    EntryPtr find(const std::string& key, const std::string& variant = "")
    {
        const StoreRead read = loop_.wait(store_.get(key, variant)).value();
        if (read.counter > replica_.position()) {
            const std::vector<Record> records = loop_.wait(log_.records_after(replica_.position())).value();
            for (const Record& record : records) REQUIRE(replica_.apply(record, instant_now()) == Applied::ok);
        }
        if (!read.entry || replica_.matched_pattern_since(key, read.entry->position) != Since::clean) return nullptr;
        return read.entry;
    }
    void purge(std::vector<std::string> keys, std::vector<std::string> patterns)
    {
        Record record;
        record.keys = std::move(keys);
        record.patterns = std::move(patterns);
        REQUIRE(loop_.wait(log_.append(std::move(record))).has_value());
    }

  private:
    test::RedisServer server_;
    test::LinkLoop loop_;
    Keyspace keys_;
    RedisStore store_;
    RedisLog log_;
    Replica replica_;
};

std::shared_ptr<Entry> made(std::string key, std::string body, std::string variant = "")
{
    auto entry = std::make_shared<Entry>();
    entry->key = std::move(key);
    entry->variant = std::move(variant);
    entry->status = 203;
    entry->times.stored = wall_now();
    entry->times.lifetime = 60s;
    entry->expires = wall_now() + 600s;
    entry->head = "HTTP/1.1 203 OK\r\nETag: \"v\"\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    entry->set_body(std::move(body));
    entry->rule = "items";
    return entry;
}

std::string body_of(const EntryPtr& entry) { return entry ? std::string(entry->body()) : "(none)"; }

}  // namespace

TEST_CASE_TEMPLATE("a store finds an entry under its own key and variant and under no other", Backend, Memory, Redis)
{
    Backend store;
    const Position token = store.position();
    CHECK(store.put(made("key-a", "body"), token) == NotStored::none);
    CHECK(store.put(made("key-v", "gzip", "0123456789abcdef"), token) == NotStored::none);
    CHECK(body_of(store.find("key-a")) == "body");
    CHECK(body_of(store.find("key-v", "0123456789abcdef")) == "gzip");
    CHECK_FALSE(store.find("key-b"));
    CHECK_FALSE(store.find("key-v"));
    CHECK_FALSE(store.find("key-a", "0123456789abcdef"));
}

TEST_CASE_TEMPLATE("an entry comes back as it was put", Backend, Memory, Redis)
{
    Backend store;
    std::string bytes;
    for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i);
    const auto put = made("shop:/items/7 *?\\%", bytes);
    REQUIRE(store.put(put, store.position()) == NotStored::none);
    const EntryPtr found = store.find(std::string(put->key));
    REQUIRE(found);
    CHECK(found->key == put->key);
    CHECK(found->status == 203);
    CHECK(found->head == put->head);
    CHECK(found->body() == bytes);
    CHECK(found->validators().etag == "\"v\"");
    CHECK(found->times.stored == put->times.stored);
    CHECK(found->times.lifetime == 60s);
    CHECK(found->expires == put->expires);
    CHECK(found->rule == "items");
    CHECK(found->position.load() == store.position());
}

TEST_CASE_TEMPLATE("a later put under the same key replaces the earlier one", Backend, Memory, Redis)
{
    Backend store;
    CHECK(store.put(made("k", "first"), store.position()) == NotStored::none);
    CHECK(store.put(made("k", "second"), store.position()) == NotStored::none);
    CHECK(body_of(store.find("k")) == "second");
}

TEST_CASE_TEMPLATE("an exact purge voids its key and no other", Backend, Memory, Redis)
{
    Backend store;
    for (const char* key : {"a", "ab", "b"}) REQUIRE(store.put(made(key, key), store.position()) == NotStored::none);
    store.purge({"a"}, {});
    CHECK_FALSE(store.find("a"));
    CHECK(body_of(store.find("ab")) == "ab");
    CHECK(body_of(store.find("b")) == "b");
}

TEST_CASE_TEMPLATE("a pattern purge voids every key and variant that it matches and no other", Backend, Memory, Redis)
{
    struct Row {
        const char* why;
        const char* pattern;
        std::vector<const char*> voided, kept;
    };
    const Row rows[] = {
        {"the end of a key", "list:*", {"list:", "list:1", "list:1:2"}, {"lis", "xlist:1"}},
        {"a star in the middle", "a*:z", {"a:z", "abc:z"}, {"a:zz", "b:z"}},
        {"one byte", "i?", {"i1", "i2"}, {"i", "i12"}},
        {"an escaped star is a star", "lit\\*:*", {"lit*:1"}, {"litx:1"}},
        {"everything", "*", {"a", ""}, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        Backend store;
        for (const auto* keys : {&row.voided, &row.kept}) {
            for (const char* key : *keys) {
                REQUIRE(store.put(made(key, "x"), store.position()) == NotStored::none);
                REQUIRE(store.put(made(key, "y", "0123456789abcdef"), store.position()) == NotStored::none);
            }
        }
        store.purge({}, {row.pattern});
        for (const char* key : row.voided) {
            CAPTURE(key);
            CHECK_FALSE(store.find(key));
            CHECK_FALSE(store.find(key, "0123456789abcdef"));
        }
        for (const char* key : row.kept) {
            CAPTURE(key);
            CHECK(store.find(key));
            CHECK(store.find(key, "0123456789abcdef"));
        }
    }
}

TEST_CASE_TEMPLATE("a response whose key was purged since its token is refused, by key and by pattern", Backend, Memory,
                   Redis)
{
    for (bool exact : {true, false}) {
        CAPTURE(exact);
        Backend store;
        const Position token = store.position();
        if (exact)
            store.purge({"k"}, {});
        else
            store.purge({}, {"k*"});
        CHECK(store.put(made("k", "too old"), token) == NotStored::fenced);
        CHECK_FALSE(store.find("k"));
        CHECK(store.put(made("other", "not concerned"), token) == NotStored::none);
        CHECK(store.put(made("k", "fetched after"), store.position()) == NotStored::none);
        CHECK(body_of(store.find("k")) == "fetched after");
    }
}

TEST_CASE_TEMPLATE("what is stored after a purge stays valid, however often other keys are purged", Backend, Memory,
                   Redis)
{
    Backend store;
    store.purge({"k"}, {"k*"});
    REQUIRE(store.put(made("k", "new"), store.position()) == NotStored::none);
    for (int i = 0; i < 50; ++i) store.purge({"other"}, {"x" + std::to_string(i % 5) + "*"});
    CHECK(body_of(store.find("k")) == "new");
}

TEST_CASE_TEMPLATE("every purge raises the position, and finding or putting does not", Backend, Memory, Redis)
{
    Backend store;
    Position last = store.position();
    CHECK(last > 0);
    for (int i = 0; i < 10; ++i) {
        store.purge({"k"}, {});
        const Position now = store.position();
        CHECK(now > last);
        last = now;
    }
    store.put(made("k", "x"), last);
    store.find("k");
    CHECK(store.position() == last);
}

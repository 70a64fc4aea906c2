// What the tests of the store and of the log in Redis share: one sidecar's part of it, and entries.
#pragma once

#include <doctest/doctest.h>

#include "proxy/coherence/redis_log.hpp"
#include "proxy/store/redis_store.hpp"
#include "tests/unit/proxy/redis_server.hpp"

namespace larder::proxy::test {

/// One sidecar, logged in as the user that `larder acl` prints.
struct Sidecar {
    explicit Sidecar(const RedisServer& server, RedisLogOptions options = {})
        : loop(make_store(server)), keys("t"), store(loop.link, keys), log(loop.link, keys, options)
    {
        if (!loop.connect()) throw std::runtime_error("no connection");
    }
    static config::Store make_store(const RedisServer& server)
    {
        config::Store store = store_at(server);
        use_acl(server, store, "t");
        return store;
    }

    LogSnapshot init() { return loop.wait(log.init()).value(); }
    StoreRead get(std::string key, std::string variant = "")
    {
        return loop.wait(store.get(std::move(key), std::move(variant))).value();
    }
    rules::NotStored put(std::shared_ptr<const Entry> entry, Position token)
    {
        FillLease none{std::string(entry->key), std::string(entry->variant), {}};
        return put(std::move(entry), token, none);
    }
    rules::NotStored put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease)
    {
        return loop.wait(store.put(std::move(entry), token, lease)).refused;
    }
    Leased lease(const FillLease& wanted, rules::WallTime seen = {}, std::string doomed = "")
    {
        return loop.wait(store.lease(wanted, seen, std::move(doomed))).value();
    }
    std::string holder(const std::string& key, const std::string& variant = "")
    {
        return loop.wait(store.look_at_lease(key, variant)).value().holder;
    }
    void release(const FillLease& lease, rules::NotStored uncacheable = rules::NotStored::none)
    {
        CHECK(loop.wait(store.release(lease, uncacheable, std::chrono::seconds(5))) == rules::Errc::ok);
    }
    Appended purge(std::vector<std::string> exact, std::vector<std::string> patterns,
                   RecordType type = RecordType::single)
    {
        Record record;
        record.type = type;
        if (type != RecordType::single) record.write_id = "replica-1";
        record.life = type == RecordType::prepare ? std::chrono::seconds(30) : std::chrono::seconds(0);
        record.keys = std::move(exact);
        record.patterns = std::move(patterns);
        return loop.wait(log.append(std::move(record))).value();
    }

    LinkLoop loop;
    Keyspace keys;
    RedisStore store;
    RedisLog log;
};

inline std::shared_ptr<Entry> make_entry(std::string key, std::string body, std::string variant = "")
{
    auto entry = std::make_shared<Entry>();
    entry->key = std::move(key);
    entry->variant = std::move(variant);
    entry->times.stored = wall_now();
    entry->times.lifetime = std::chrono::seconds(60);
    entry->expires = wall_now() + std::chrono::seconds(60);
    entry->head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    entry->set_body(std::move(body));
    entry->rule = "rule";
    return entry;
}

}  // namespace larder::proxy::test

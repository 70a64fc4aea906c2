#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>

#include "proxy/redis/keyspace.hpp"

using larder::proxy::Keyspace;

namespace {

/// CRC16/XMODEM, as the Redis Cluster specification gives it.
unsigned crc16(std::string_view text)
{
    unsigned crc = 0;
    for (const char c : text) {
        crc ^= static_cast<unsigned>(static_cast<unsigned char>(c)) << 8;
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc & 0x8000u) != 0 ? ((crc << 1) ^ 0x1021u) & 0xffffu : (crc << 1) & 0xffffu;
    }
    return crc;
}

}  // namespace

TEST_CASE("the shards of a cluster lie one in each twelfth of the slots, where their tags hash to")
{
    constexpr std::size_t shards = Keyspace::cluster_shards;
    for (std::size_t shard = 0; shard < shards; ++shard) {
        CAPTURE(shard);
        const unsigned slot = Keyspace::slot(shard, shards);
        CHECK(slot == crc16(Keyspace::tag(shard, shards)) % 16384);
        CHECK(slot * shards / 16384 == shard);
    }
    CHECK(Keyspace::slot(0, 1) == crc16(Keyspace::tag(0, 1)) % 16384);
}

TEST_CASE("all names of one shard carry its tag, and shards share no name")
{
    std::set<std::string> counters;
    for (std::size_t shard = 0; shard < Keyspace::cluster_shards; ++shard) {
        const Keyspace keys("app", shard, Keyspace::cluster_shards);
        const std::string tag = "app:{" + std::string(Keyspace::tag(shard, Keyspace::cluster_shards)) + "}:";
        CHECK(keys.counter().starts_with(tag));
        CHECK(keys.stream().starts_with(tag));
        CHECK(keys.patterns().starts_with(tag));
        CHECK(keys.entry("event:1").starts_with(tag));
        CHECK(keys.lease("event:1").starts_with(tag));
        counters.insert(keys.counter());
    }
    CHECK(counters.size() == Keyspace::cluster_shards);
}

TEST_CASE("keys spread over the shards of a cluster, and a single server has one shard")
{
    std::array<int, Keyspace::cluster_shards> count{};
    for (int i = 0; i < 12'000; ++i) ++count[Keyspace::shard_of("event:" + std::to_string(i), count.size())];
    for (const int n : count) CHECK((n > 800 && n < 1200));
    CHECK(Keyspace::shard_of("event:1", 1) == 0);
}

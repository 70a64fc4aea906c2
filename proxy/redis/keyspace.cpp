#include "proxy/redis/keyspace.hpp"

#include <openssl/sha.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace larder::proxy {

namespace {

struct Tag {
    std::string_view text;
    unsigned slot;
};
constexpr std::array<Tag, Keyspace::cluster_shards> tags{{{"10", 247},
                                                          {"3", 1584},
                                                          {"43", 3937},
                                                          {"11", 4310},
                                                          {"2", 5649},
                                                          {"42", 8000},
                                                          {"12", 8373},
                                                          {"1", 9842},
                                                          {"41", 12067},
                                                          {"13", 12436},
                                                          {"0", 13907},
                                                          {"40", 16130}}};
constexpr Tag only_tag = tags[10];

}  // namespace

void BriefKey::digest() noexcept
{
    constexpr std::string_view digits = "0123456789abcdef";
    unsigned char bytes[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(text_.data()), text_.size(), bytes);
    auto out = digest_.begin();
    *out++ = '#';
    for (const unsigned char byte : bytes) {
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    text_ = {digest_.data(), digest_.size()};
}

std::string_view Keyspace::tag(std::size_t shard, std::size_t shards) noexcept
{
    return shards == 1 ? only_tag.text : tags[shard].text;
}

unsigned Keyspace::slot(std::size_t shard, std::size_t shards) noexcept
{
    return shards == 1 ? only_tag.slot : tags[shard].slot;
}

std::size_t Keyspace::shard_of(std::string_view key, std::size_t shards) noexcept
{
    return shards == 1 ? 0 : static_cast<std::size_t>(XXH3_64bits(key.data(), key.size()) % shards);
}

Keyspace::Keyspace(std::string_view prefix, std::size_t shard, std::size_t shards)
    : base_(std::string(prefix).append(":{").append(tag(shard, shards)).append("}:")),
      counter_(base_ + "q"),
      stream_(base_ + "s"),
      patterns_(base_ + "p"),
      conf_(base_ + "conf"),
      entries_(base_ + "e:"),
      leases_(base_ + "l:"),
      incoming_(base_ + "n:"),
      shards_(shards)
{
}

std::string Keyspace::entry(std::string_view key, std::string_view variant) const
{
    std::string name;
    entry_to(name, key, variant);
    return name;
}

std::string Keyspace::lease(std::string_view key, std::string_view variant) const
{
    std::string name;
    lease_to(name, key, variant);
    return name;
}

void Keyspace::entry_to(std::string& name, std::string_view key, std::string_view variant) const
{
    name = entries_;
    append_to(name, key, variant);
}

void Keyspace::lease_to(std::string& name, std::string_view key, std::string_view variant) const
{
    name = leases_;
    append_to(name, key, variant);
}

void Keyspace::append_to(std::string& name, std::string_view key, std::string_view variant)
{
    const NameEnd end(key, variant);
    for (const std::string_view piece : end.pieces()) name += piece;
}

}  // namespace larder::proxy

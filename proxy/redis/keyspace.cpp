#include "proxy/redis/keyspace.hpp"

#include <openssl/sha.h>

namespace larder::proxy {

namespace {

constexpr std::size_t plain_key_bytes = 1024;

void append_sha256(std::string& out, std::string_view text)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    for (const unsigned char byte : digest) {
        out += "0123456789abcdef"[byte >> 4];
        out += "0123456789abcdef"[byte & 15];
    }
}

}  // namespace

Keyspace::Keyspace(std::string_view prefix)
    : base_(std::string(prefix) + ":{0}:"), counter_(base_ + "q"), stream_(base_ + "s"), patterns_(base_ + "p")
{
}

std::string Keyspace::entry(std::string_view key, std::string_view variant) const { return name('e', key, variant); }

std::string Keyspace::lease(std::string_view key, std::string_view variant) const { return name('l', key, variant); }

std::string Keyspace::name(char kind, std::string_view key, std::string_view variant) const
{
    std::string out;
    out.reserve(base_.size() + 2 + std::min(key.size(), plain_key_bytes) + 1 + variant.size());
    out.append(base_) += kind;
    out += ':';
    if (key.size() <= plain_key_bytes) {
        out += key;
    } else {
        out += '#';
        append_sha256(out, key);
    }
    if (!variant.empty()) (out += '\n') += variant;
    return out;
}

}  // namespace larder::proxy

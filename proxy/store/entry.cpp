#include "proxy/store/entry.hpp"

#include <malloc.h>
#include <openssl/sha.h>

#include <algorithm>

#include "rules/base/text.hpp"

namespace larder::proxy {
namespace {

// glibc keeps the size in front of each block.
constexpr std::size_t block_header_bytes = 8;
// std::make_shared puts its two counters and a vtable pointer in front of the object.
constexpr std::size_t shared_header_bytes = 16;

std::size_t heap_bytes(const std::string& text) noexcept
{
    static const std::size_t inline_capacity = std::string{}.capacity();
    return text.capacity() > inline_capacity ? allocated_bytes(text.data()) : 0;
}

std::size_t heap_bytes(const std::vector<std::string>& texts) noexcept
{
    if (texts.capacity() == 0) return 0;
    std::size_t sum = allocated_bytes(texts.data());
    for (const std::string& text : texts) sum += heap_bytes(text);
    return sum;
}

}  // namespace

std::size_t allocated_bytes(const void* block) noexcept
{
    return ::malloc_usable_size(const_cast<void*>(block)) + block_header_bytes;
}

void Entry::set_body(std::string bytes, std::size_t from)
{
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    const std::size_t held = heap_bytes(*owner) + sizeof(std::string) + shared_header_bytes + block_header_bytes;
    share_body(std::string_view(*owner).substr(from), owner, held);
}

void Entry::share_body(std::string_view part, std::shared_ptr<const void> owner, std::size_t held_bytes)
{
    body_ = part;
    body_owner_ = std::move(owner);
    body_held_bytes_ = held_bytes;
}

Validators Entry::validators() const noexcept
{
    Validators in_head;
    std::string_view rest = head;
    while (!rest.empty()) {  // the status line has no colon where a name would end
        const std::size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest = end == rest.npos ? std::string_view{} : rest.substr(end + 1);

        std::string_view* found = nullptr;
        std::size_t colon = 4;  // the lengths of the names tell them apart from nearly every other field
        if (line.size() > 4 && line[4] == ':') {
            if (rules::equals_ignoring_case(line.substr(0, 4), "etag"))
                found = &in_head.etag;
            else if (rules::equals_ignoring_case(line.substr(0, 4), "date"))
                found = &in_head.date;
        } else if (line.size() > 13 && line[13] == ':') {
            colon = 13;
            if (rules::equals_ignoring_case(line.substr(0, 13), "last-modified"))
                found = &in_head.last_modified;
            else if (rules::equals_ignoring_case(line.substr(0, 13), "content-range"))
                found = &in_head.content_range;
        }
        if (!found || !found->empty()) continue;
        std::string_view value = line.substr(colon + 1);
        if (!value.empty() && value.back() == '\r') value.remove_suffix(1);
        *found = rules::trim(value);
    }
    return in_head;
}

bool Entry::has_variant(const Entry& variant) const noexcept
{
    if (variant.generation != generation) return false;
    return variants.size() < variants_limit ||
           std::find(variants.begin(), variants.end(), variant.variant) != variants.end();
}

std::size_t Entry::cost_bytes() const noexcept
{
    return sizeof(Entry) + shared_header_bytes + block_header_bytes + store_node_bytes + heap_bytes(key) +
           heap_bytes(variant) + heap_bytes(head) + body_held_bytes_ + heap_bytes(vary_names) + heap_bytes(variants) +
           heap_bytes(generation) + heap_bytes(rule) + heap_bytes(own_policy) + heap_bytes(groups);
}

std::string storage_key(std::string_view key, std::string_view variant)
{
    std::string out;
    out.reserve(key.size() + (variant.empty() ? 0 : 1 + variant.size()));
    out += key;
    if (!variant.empty()) {
        out += '\n';
        out += variant;
    }
    return out;
}

std::string variant_digest(std::string_view vary_values)
{
    static constexpr char digits[] = "0123456789abcdef";
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(vary_values.data()), vary_values.size(), hash);
    std::string out;
    out.reserve(32);
    for (std::size_t i = 0; i < 16; ++i) {
        out += digits[hash[i] >> 4];
        out += digits[hash[i] & 15];
    }
    return out;
}

}  // namespace larder::proxy

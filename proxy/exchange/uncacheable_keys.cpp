#include "proxy/exchange/uncacheable_keys.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <random>

namespace larder::proxy {

namespace {

constexpr rules::Milliseconds sweep_pause{1'000};

std::uint64_t random_seed()
{
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

UncacheableKeys::UncacheableKeys(std::size_t limit)
    : seed_(random_seed()), limit_of_part_(std::max<std::size_t>(limit / parts_count, 1))
{
}

UncacheableKeys::Hash UncacheableKeys::hash_of(std::string_view stored_as) const noexcept
{
    const XXH128_hash_t hash = XXH3_128bits_withSeed(stored_as.data(), stored_as.size(), seed_);
    return {hash.low64, hash.high64};
}

void UncacheableKeys::sweep(Part& part, rules::Instant now)
{
    part.swept = now;
    const std::size_t gone = std::erase_if(part.keys, [now](const auto& key) { return key.second.until <= now; });
    count_.fetch_sub(gone, std::memory_order_relaxed);
}

void UncacheableKeys::remember(std::string_view stored_as, rules::NotStored reason, rules::Instant until)
{
    const Hash hash = hash_of(stored_as);
    Part& here = part(hash);
    const std::lock_guard lock(here.mutex);
    if (here.keys.size() >= limit_of_part_) sweep(here, until - uncacheable_memory);  // that is now, or has been
    if (here.keys.size() >= limit_of_part_ && !here.keys.contains(hash)) {
        count_.fetch_sub(here.keys.size(), std::memory_order_relaxed);
        here.keys.clear();
    }
    if (here.keys.insert_or_assign(hash, Known{reason, until}).second) count_.fetch_add(1, std::memory_order_relaxed);
}

bool UncacheableKeys::forget(std::string_view stored_as)
{
    if (count() == 0) return false;
    const Hash hash = hash_of(stored_as);
    Part& here = part(hash);
    const std::lock_guard lock(here.mutex);
    const std::size_t gone = here.keys.erase(hash);
    count_.fetch_sub(gone, std::memory_order_relaxed);
    return gone != 0;
}

rules::NotStored UncacheableKeys::reason(std::string_view stored_as, rules::Instant now)
{
    if (count() == 0) return rules::NotStored::none;
    const Hash hash = hash_of(stored_as);
    Part& here = part(hash);
    const std::lock_guard lock(here.mutex);
    if (now >= here.swept + sweep_pause) sweep(here, now);
    const auto found = here.keys.find(hash);
    return found == here.keys.end() || found->second.until <= now ? rules::NotStored::none : found->second.reason;
}

}  // namespace larder::proxy

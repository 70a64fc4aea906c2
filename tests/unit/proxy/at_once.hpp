// What the cache is asked without a coroutine, as Server::ask and Filling do it, and with one when that does not do:
// for stories that are coroutines themselves.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/net/clock.hpp"

namespace larder::proxy::test {

/// What is given must live until each of these ends.
inline asio::awaitable<Found> find_at_once(asio::io_context& context, CoherentCache& cache, const std::string& key,
                                           const std::string& variant)
{
    const rules::WallTime now = wall_now();
    std::optional<Found> found = cache.find_here(key, key, now);
    if (!found) {
        auto begin = [&cache, &key, &variant, now](Completion<std::optional<Found>>& done) {
            return cache.begin_ask(key, variant, key, now, done);
        };
        auto nothing = [] { return std::optional<Found>(); };
        found = co_await await_completion<std::optional<Found>>(context, begin, nothing);
    }
    if (!found) found = co_await cache.ask(key, variant, key, now);
    co_return *found;
}

inline asio::awaitable<Leased> lease_at_once(asio::io_context& context, CoherentCache& cache, FillLease& lease,
                                             LogToken token, rules::WallTime seen)
{
    bool is_begun = false;
    auto begin = [&is_begun, &cache, &lease, token, seen](Completion<Leased>& done) {
        is_begun = cache.begin_lease(lease, token, seen, done);
        return is_begun;
    };
    auto nothing = [] { return Leased{}; };
    std::optional<Leased> told = co_await await_completion<Leased>(context, begin, nothing);
    if (told->kind == Leased::Kind::ours && cache.knows(lease.key, *told)) co_return *told;
    if (!is_begun) told.reset();
    co_return co_await cache.lease(lease, token, seen, told);
}

inline asio::awaitable<rules::NotStored> store_at_once(asio::io_context& context, CoherentCache& cache,
                                                       std::shared_ptr<Entry> entry, LogToken token, FillLease& lease)
{
    bool is_begun = false;
    auto begin = [&is_begun, &cache, &lease, token, entry](Completion<rules::NotStored>& done) {
        is_begun = cache.begin_store(entry, token, lease, done);
        return is_begun;
    };
    auto nothing = [] { return rules::NotStored::none; };
    rules::NotStored refused = co_await await_completion<rules::NotStored>(context, begin, nothing);
    if (!is_begun) refused = co_await cache.store(entry, token, &lease);
    co_return refused;
}

}  // namespace larder::proxy::test

// A shard's leases: one fetch for all replicas (COHERENCE section 9).
#include "proxy/coherence/shard.hpp"
#include "proxy/coherence/write_id.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

/// Owners say where the log stood at their miss, so that others can tell a fetch that a purge has overtaken.
std::string new_owner(Position position) { return next_write_id() + '@' + std::to_string(position); }

std::optional<Position> position_of_owner(std::string_view owner)
{
    const std::size_t at = owner.rfind('@');
    if (at == std::string_view::npos) return std::nullopt;
    return rules::parse_digits(owner.substr(at + 1));
}

}  // namespace

asio::awaitable<Leased> Shard::lease(FillLease& lease, LogToken token, rules::WallTime seen)
{
    Leased leased;
    if (!trusted()) co_return leased;
    const FillLease wanted{lease.key, lease.variant, new_owner(token.position)};
    std::string doomed;
    constexpr int takeovers_limit = 4;  // each from another fetch that a purge has overtaken
    for (int i = 0; i <= takeovers_limit; ++i) {
        rules::Result<Leased> answer = co_await store_->lease(wanted, seen, doomed);
        if (!answer) co_return Leased{};
        leased = std::move(*answer);
        if (leased.kind == Leased::Kind::ours) {  // whatever comes next, it must be given back
            lease.owner = wanted.owner;
            leases_.emplace(wanted.owner, wanted);
        }
        const bool known = co_await synchronise(leased.counter, leased.connection);
        if (!known) leased.kind = Leased::Kind::away;
        if (leased.kind != Leased::Kind::taken) break;
        const auto begun_at = position_of_owner(leased.holder);
        if (!begun_at || replica_.matched_since(lease.key, *begun_at) != Since::matched) break;
        doomed = leased.holder;
    }
    co_return leased;
}

asio::awaitable<LeaseNow> Shard::look_at_lease(const FillLease& lease, const std::string& holder)
{
    const rules::Result<LeaseLook> look = co_await store_->look_at_lease(lease.key, lease.variant);
    if (!look) co_return LeaseNow::away;
    const bool known = co_await synchronise(look->counter, look->connection);
    if (!known) co_return LeaseNow::away;
    note_look(look->sent);
    co_return look->holder == holder ? LeaseNow::same : LeaseNow::changed;
}

asio::awaitable<void> Shard::release(FillLease& lease, rules::NotStored uncacheable, rules::Milliseconds memory)
{
    const FillLease ending = lease;
    lease.owner.clear();
    leases_.erase(ending.owner);
    co_await store_->release(ending, uncacheable, memory);  // when that fails its life ends it
}

asio::awaitable<void> Shard::forget_uncacheable(std::string key, std::string variant)
{
    if (embedded()) co_return;
    const rules::Errc error = co_await store_->forget_uncacheable(std::move(key), std::move(variant));
    if (error == rules::Errc::ok) counters_.add(Counter::uncacheable_ended);
}

asio::awaitable<void> Shard::release_all()
{
    while (!leases_.empty()) {
        const FillLease ending = leases_.begin()->second;
        leases_.erase(leases_.begin());
        const rules::Milliseconds no_memory{0};
        const rules::Errc error = co_await store_->release(ending, rules::NotStored::none, no_memory);
        if (error != rules::Errc::ok) co_return;
    }
}

}  // namespace larder::proxy

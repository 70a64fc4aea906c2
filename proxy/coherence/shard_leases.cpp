// A shard's leases: one fetch for all replicas (COHERENCE section 9).
#include "proxy/coherence/shard.hpp"
#include "proxy/coherence/write_id.hpp"
#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

/// Owners say where the log stood at their miss, so that others can tell a fetch that a purge has overtaken.
std::string new_owner(Position position)
{
    std::string owner = next_write_id();
    owner += '@';
    rules::append_number(owner, position);
    return owner;
}

std::optional<Position> position_of_owner(std::string_view owner)
{
    const std::size_t at = owner.rfind('@');
    if (at == std::string_view::npos) return std::nullopt;
    return rules::parse_digits(owner.substr(at + 1));
}

}  // namespace

asio::awaitable<Leased> Shard::lease(FillLease& lease, LogToken token, rules::WallTime seen,
                                     std::optional<Leased> answer)
{
    Leased leased;
    FillLease wanted{lease.key, lease.variant, {}};
    std::string doomed;
    constexpr int takeovers_limit = 4;  // each from another fetch that a purge has overtaken
    for (int i = 0; i <= takeovers_limit; ++i) {
        if (!answer) {
            if (!trusted()) co_return Leased{};
            if (wanted.owner.empty()) wanted.owner = new_owner(token.position);
            rules::Result<Leased> told = co_await store_->lease(wanted, seen, doomed);
            if (!told) co_return Leased{};
            answer = std::move(*told);
            if (answer->kind == Leased::Kind::ours) hold(lease, std::move(wanted.owner));
        }
        leased = std::move(*answer);
        answer.reset();
        if (leased.kind == Leased::Kind::away) break;
        const bool known = co_await synchronise(leased.counter, leased.connection);
        if (!known) leased.kind = Leased::Kind::away;
        if (leased.kind != Leased::Kind::taken) break;
        const auto begun_at = position_of_owner(leased.holder);
        if (!begun_at || replica_.matched_since(lease.key, *begun_at) != Since::matched) break;
        doomed = leased.holder;
    }
    co_return leased;
}

/// Whatever comes next, it must be given back.
void Shard::hold(FillLease& lease, std::string owner)
{
    lease.owner = std::move(owner);
    if (!lease.held.is_linked()) leases_.push_back(lease);
}

/// Asks once, without a coroutine.
class Shard::Leasing final : public Completion<rules::Result<Leased>> {
  public:
    Leasing(Shard& shard, FillLease& lease, Position position, Completion<Leased>& done)
        : shard_(shard), lease_(lease), wanted_{lease.key, lease.variant, new_owner(position)}, done_(done)
    {
    }
    bool begin(rules::WallTime seen) { return shard_.store_->begin_lease(wanted_, seen, *this); }

    void complete(rules::Result<Leased>&& told) override
    {
        const std::unique_ptr<Leasing> self(this);
        Leased leased;
        if (told) leased = std::move(*told);
        if (leased.kind == Leased::Kind::ours) shard_.hold(lease_, std::move(wanted_.owner));
        done_.complete(std::move(leased));
    }
    void abandon() noexcept override
    {
        const std::unique_ptr<Leasing> self(this);
        done_.abandon();
    }

  private:
    Shard& shard_;
    FillLease& lease_;
    FillLease wanted_;
    Completion<Leased>& done_;
};

bool Shard::begin_lease(FillLease& lease, LogToken token, rules::WallTime seen, Completion<Leased>& done)
{
    if (!trusted()) return false;
    auto leasing = std::make_unique<Leasing>(*this, lease, token.position, done);
    if (!leasing->begin(seen)) return false;
    leasing.release();
    return true;
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
    lease.held.unlink();
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
        const FillLease ending = leases_.front();
        leases_.pop_front();
        const rules::Milliseconds no_memory{0};
        const rules::Errc error = co_await store_->release(ending, rules::NotStored::none, no_memory);
        if (error != rules::Errc::ok) co_return;
    }
}

}  // namespace larder::proxy

#include "proxy/exchange/mark_renewal.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

/// Shared with the coroutine that appends, which may be under way when the write's frame goes. It has its own copy of
/// what is to be marked; the id is that of the write, so that its COMMIT closes the mark.
struct MarkRenewal::State final : Deadline, std::enable_shared_from_this<State> {
    State(Services& s, const WritePurge& w) : services(s), write(w), renewed_at(w.prepared_at) {}
    ~State() override { disarm(); }

    void on_expiry() noexcept override
    {
        running = true;  // before the coroutine begins, so that `end` waits for it in any case
        services.tasks.spawn("mark renewal", run(shared_from_this()));
    }

    void arm_next(bool renewed) noexcept
    {
        const rules::Milliseconds life = services.cache.mark_life();
        // Half of it is left for a store that does not answer at once: then it is tried a few times more.
        const rules::Milliseconds gone = std::chrono::duration_cast<rules::Milliseconds>(instant_now() - renewed_at);
        arm(services.wheel, renewed ? std::max(life / 2 - gone, rules::Milliseconds{0}) : life / 10);
    }

    Services& services;
    WritePurge write;
    rules::Instant renewed_at;  // of the last PREPARE that has succeeded
    bool ended = false;
    bool running = false;
    WakeUp* waiting = nullptr;
};

MarkRenewal::MarkRenewal(Services& services, WritePurge& write) : write_(write)
{
    if (!write.prepared) return;
    state_ = std::make_shared<State>(services, write);
    state_->arm_next(true);
}

MarkRenewal::~MarkRenewal()
{
    if (!state_) return;
    state_->ended = true;
    state_->disarm();
}

asio::awaitable<void> MarkRenewal::run(std::shared_ptr<State> state)
{
    const rules::Errc error = co_await state->services.cache.prepare(state->write);
    state->running = false;
    if (error == rules::Errc::ok) {
        state->renewed_at = state->write.prepared_at;
        state->services.counters.add(Counter::marks_renewed);
    }
    if (state->waiting) state->waiting->wake();
    if (!state->ended) state->arm_next(error == rules::Errc::ok);
}

asio::awaitable<void> MarkRenewal::end()
{
    if (!state_) co_return;
    state_->ended = true;
    state_->disarm();
    if (state_->running) {
        WakeUp done(state_->services.context);
        state_->waiting = &done;
        co_await done.wait();
        state_->waiting = nullptr;
    }
    write_.prepared_at = state_->renewed_at;
}

}  // namespace larder::proxy

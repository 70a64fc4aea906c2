#include "proxy/net/deadline.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

void Deadline::arm(DeadlineWheel& wheel, rules::Milliseconds after) noexcept
{
    disarm();
    // Two ticks more than asked: one because the present tick has begun already, one for rounding down.
    due_tick_ = wheel.tick_of(recent_instant()) + static_cast<std::uint64_t>(after / DeadlineWheel::tick) + 2;
    wheel.link(*this);
}

void Deadline::disarm() noexcept
{
    if (!next_) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
}

DeadlineWheel::DeadlineWheel(asio::io_context& context, std::atomic<std::int64_t>* armed)
    : timer_(context), armed_(armed), start_(instant_now())
{
    for (Head& head : slots_) head.next_ = head.previous_ = &head;
}

DeadlineWheel::~DeadlineWheel()
{
    for (Head& head : slots_) {
        while (head.next_ != &head) head.next_->disarm();
        head.next_ = head.previous_ = nullptr;
    }
}

std::uint64_t DeadlineWheel::tick_of(rules::Instant at) const noexcept
{
    return static_cast<std::uint64_t>((at - start_) / tick);
}

void DeadlineWheel::link(Deadline& deadline) noexcept
{
    Head& head = slots_[deadline.due_tick_ % slots_count];
    deadline.previous_ = head.previous_;
    deadline.next_ = &head;
    head.previous_->next_ = &deadline;
    head.previous_ = &deadline;
    if (!ticking_ && !stopped_) {
        done_tick_ = std::min(tick_of(instant_now()), deadline.due_tick_ - 1);
        start_timer();
    }
}

void DeadlineWheel::stop() noexcept
{
    stopped_ = true;
    timer_.cancel();
}

void DeadlineWheel::start_timer()
{
    ticking_ = true;
    timer_.expires_after(tick);
    timer_.async_wait([this](error_code ec) {
        if (!ec && !stopped_) on_tick();
    });
}

void DeadlineWheel::on_tick()
{
    // The machine may have slept: catch up, but visit each slot once at most.
    const std::uint64_t now = tick_of(instant_now());
    std::uint64_t from = done_tick_ + 1;
    if (now >= slots_count && from < now - slots_count + 1) from = now - slots_count + 1;
    for (std::uint64_t t = from; t <= now; ++t) {
        Head& head = slots_[t % slots_count];
        // Expired ones move to a list of their own first: an expiry may disarm or arm others of this slot.
        Head expired;
        expired.next_ = expired.previous_ = &expired;
        for (Deadline* d = head.next_; d != &head;) {
            Deadline* next = d->next_;
            if (d->due_tick_ <= now) {
                d->disarm();
                d->previous_ = expired.previous_;
                d->next_ = &expired;
                expired.previous_->next_ = d;
                expired.previous_ = d;
            }
            d = next;
        }
        while (expired.next_ != &expired) {
            Deadline* d = expired.next_;
            d->disarm();
            d->on_expiry();
        }
        expired.next_ = expired.previous_ = nullptr;
    }
    if (armed_ && now / census_every != done_tick_ / census_every) take_census();
    done_tick_ = now;
    start_timer();
}

// Walked now and then rather than counted at each arming: those are on the request path.
void DeadlineWheel::take_census() noexcept
{
    std::int64_t armed = 0;
    for (const Head& head : slots_)
        for (const Deadline* d = head.next_; d != &head; d = d->next_) ++armed;
    armed_->store(armed, std::memory_order_relaxed);
}

}  // namespace larder::proxy

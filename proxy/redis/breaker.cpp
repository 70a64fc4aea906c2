#include "proxy/redis/breaker.hpp"

#include <algorithm>

namespace larder::proxy {

bool Breaker::attempt() noexcept
{
    if (is_stopped()) return false;
    state_ = State::half_open;
    is_relocated_ = false;
    return true;
}

bool Breaker::succeed(rules::Instant now) noexcept
{
    if (is_stopped() || is_relocated_) return false;
    state_ = State::closed;
    closed_at_ = now;
    return true;
}

void Breaker::fail(rules::Instant now) noexcept
{
    if (is_stopped()) return;
    if (is_old(now)) next_pause_ = first_pause;
    state_ = State::open;
}

void Breaker::stop() noexcept { state_ = State::stopped; }

rules::Milliseconds Breaker::pause(double chance) noexcept
{
    if (is_relocated_) return rules::Milliseconds{0};
    const auto half = next_pause_ / 2;
    const rules::Milliseconds pause = half + rules::Milliseconds{static_cast<std::int64_t>(chance * half.count())};
    next_pause_ = std::min(2 * next_pause_, longest_pause);
    return pause;
}

}  // namespace larder::proxy

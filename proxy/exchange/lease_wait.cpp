#include "proxy/exchange/lease_wait.hpp"

#include <algorithm>

namespace larder::proxy {

LeaseWait::Step LeaseWait::ask() { return ++asks_count_ > asks_limit ? go_without() : Step::ask; }

LeaseWait::Step LeaseWait::wait(rules::Instant now)
{
    if (now >= until_) {
        has_given_up_ = true;
        return go_without();
    }
    pause_ = std::min<std::chrono::nanoseconds>(next_pause_, until_ - now);
    next_pause_ = std::min(2 * next_pause_, longest_pause);
    return Step::pause;
}

LeaseWait::Step LeaseWait::on_lease(Leased::Kind answer, bool overtaken, rules::Instant now)
{
    switch (answer) {
    case Leased::Kind::away: return go_without();
    case Leased::Kind::uncacheable: return Step::release;
    case Leased::Kind::stored: return Step::read;
    case Leased::Kind::ours:
    case Leased::Kind::taken: break;
    }
    if (overtaken) return Step::look_again;
    if (answer == Leased::Kind::ours) return Step::fetch;
    // One fetch that gave nothing to store may not hold up the next ones: then each replica fetches for itself.
    if (has_waited_) return go_without();
    has_waited_ = true;
    return wait(now);
}

LeaseWait::Step LeaseWait::on_read(bool settles, bool overtaken)
{
    return settles || overtaken ? Step::look_again : ask();
}

LeaseWait::Step LeaseWait::on_look(LeaseNow lease, bool overtaken, rules::Instant now)
{
    if (lease == LeaseNow::away) return go_without();
    if (overtaken) return Step::look_again;
    return lease == LeaseNow::changed ? ask() : wait(now);
}

}  // namespace larder::proxy

// What a fill does about the lease of its key: ask for it, wait for who has it, read what that one has stored, fetch,
// or send its readers back to the lookup. Decides from what the store has said and from the time: no I/O, no clock.
// fleet_fill.cpp does what it says; the orders in which several of them meet are played in
// tests/unit/proxy/lease_interleavings_test.cpp.
#pragma once

#include <chrono>
#include <cstdint>

#include "proxy/coherence/shard.hpp"
#include "rules/base/time.hpp"

namespace larder::proxy {

class LeaseWait {
  public:
    /// What is to be done next. The last three end it.
    enum class Step : std::uint8_t {
        ask,         // for the lease, then `on_lease`
        read,        // what another replica has stored, then `on_read`
        pause,       // for `pause`, then look at the holder's lease and at the log, then `on_look`
        fetch,       // under the lease, if it was given
        look_again,  // no fetch: the readers go back to the lookup
        release,     // no fetch: the last answer could not be stored, so nobody waits for the next one
    };

    /// @param until    no wait goes on after it
    /// @param refresh  nobody waits for the answer: it is not worth a fetch without the lease
    LeaseWait(rules::Instant until, bool refresh) : until_(until), refresh_(refresh) {}

    /// The first step.
    /// @param overtaken  here and below: the log is known to have a record that matches the key and is younger than the
    ///                   fill. What such a fill fetches cannot be stored, and whoever comes now does not join it: those
    ///                   who wait for it are better off with a younger one.
    Step begin(bool overtaken) { return overtaken ? Step::look_again : ask(); }
    Step on_lease(Leased::Kind answer, bool overtaken, rules::Instant now);
    /// @param settles  what was read ends the wait: an answer, or the word that requests pass by now
    Step on_read(bool settles, bool overtaken);
    Step on_look(LeaseNow lease, bool overtaken, rules::Instant now);

    /// Of the step `pause`.
    std::chrono::nanoseconds pause() const noexcept { return pause_; }
    /// It has waited for another replica's fetch, or still does.
    bool has_waited() const noexcept { return has_waited_; }
    /// It has waited until the end of its time, in vain.
    bool has_given_up() const noexcept { return has_given_up_; }

    /// How often it asks at most: what others do may change what it hears each time.
    static constexpr int asks_limit = 5;
    static constexpr rules::Milliseconds first_pause{5}, longest_pause{40};

  private:
    Step ask();
    Step wait(rules::Instant now);
    Step go_without() const noexcept { return refresh_ ? Step::look_again : Step::fetch; }

    const rules::Instant until_;
    const bool refresh_;
    int asks_count_ = 0;
    rules::Milliseconds next_pause_ = first_pause;
    std::chrono::nanoseconds pause_{0};
    bool has_waited_ = false, has_given_up_ = false;
};

}  // namespace larder::proxy

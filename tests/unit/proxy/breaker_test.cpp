#include "proxy/redis/breaker.hpp"

#include <doctest/doctest.h>

#include "tests/unit/proxy/interleavings.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Milliseconds;
using State = Breaker::State;

namespace {

constexpr double shortest = 0, longest = 1;

/// A link without a wire: it tries, is let in or not, lives, loses the connection, pauses, tries again. At any moment
/// another server may be named, and all may end. What the breaker ought to say is worked out from the history alone.
class Play final : public Story {
  public:
    std::vector<std::string> enabled() override
    {
        std::vector<std::string> actions;
        if (!violation_.empty()) return actions;
        if (phase_ == Phase::ended || attempts_count_ > attempts_limit) return actions;
        switch (phase_) {
        case Phase::locating: actions = {"attempt"}; break;
        case Phase::connecting: actions = {"connect", "refuse"}; break;
        case Phase::connected: actions = {"lose young", "lose old", "redirect young", "redirect old"}; break;
        case Phase::pausing: actions = {"pause over"}; break;
        case Phase::ended: break;
        }
        if (relocations_count_ < relocations_limit) actions.push_back("relocate");
        actions.push_back("stop");
        return actions;
    }

    Footprint perform(const std::string& action) override
    {
        if (action == "attempt") {
            relocated_ = false;
            ++attempts_count_;
            check(breaker_.attempt(), "it does not try");
            phase_ = Phase::connecting;
        } else if (action == "connect") {
            const bool let_in = breaker_.succeed(now_);
            check(let_in == !relocated_, "it takes a server that is not wanted any more");
            if (let_in)
                phase_ = Phase::connected;
            else
                end_attempt();
        } else if (action == "refuse") {
            end_attempt();
        } else if (action == "relocate") {
            ++relocations_count_;
            relocated_ = true;
            breaker_.relocate();
            if (phase_ == Phase::connected) end_attempt();
            if (phase_ == Phase::pausing) phase_ = Phase::locating;
        } else if (action == "stop") {
            breaker_.stop();
            phase_ = Phase::ended;
        } else if (action == "pause over") {
            phase_ = Phase::locating;
        } else {
            const bool old = action.ends_with("old");
            now_ += old ? Breaker::longest_pause + 1ms : Breaker::longest_pause;
            if (old) failures_count_ = 0;
            if (action.starts_with("redirect")) {
                relocated_ = old;
                breaker_.redirect(now_);
            }
            end_attempt();
        }
        check(breaker_.is_closed() == (phase_ == Phase::connected), "operations are sent without a connection");
        check(breaker_.is_stopped() == (phase_ == Phase::ended), "it has stopped, or has not");
        return {~0u, ~0u};
    }

    std::string judge() override
    {
        if (phase_ == Phase::ended) {  // for good
            check(!breaker_.attempt() && !breaker_.succeed(now_), "it tries again");
            breaker_.fail(now_);
            check(breaker_.is_stopped(), "it lives again");
        }
        return violation_;
    }

  private:
    enum class Phase { locating, connecting, connected, pausing, ended };

    void check(bool holds, const std::string& violation)
    {
        if (!holds && violation_.empty()) violation_ = violation;
    }
    void end_attempt()
    {
        breaker_.fail(now_);
        breaker_.fail(now_);  // the connection's end, then the attempt's
        check(breaker_.state() == State::open, "it is not open");
        const Milliseconds pause = breaker_.pause(longest);
        now_ += pause;
        phase_ = pause.count() == 0 ? Phase::locating : Phase::pausing;
        if (relocated_) {
            check(pause.count() == 0, "it waits although another server is known");
            return;
        }
        Milliseconds wanted = Breaker::first_pause;
        for (int i = 0; i < failures_count_; ++i) wanted = std::min(2 * wanted, Breaker::longest_pause);
        ++failures_count_;
        check(pause == wanted, "it waits for " + std::to_string(pause.count()) + " ms");
    }

    static constexpr int attempts_limit = 4, relocations_limit = 2;
    Breaker breaker_;
    Phase phase_ = Phase::locating;
    rules::Instant now_{1h};
    bool relocated_ = false;
    int attempts_count_ = 0, relocations_count_ = 0;
    int failures_count_ = 0;  // pauses since the last connection that grew old
    std::string violation_;
};

}  // namespace

TEST_CASE(
    "in every order of attempts, losses, redirects and other servers named, a breaker sends operations only while it "
    "is "
    "connected, tries again after its pause and stops for good")
{
    Explorer explorer([]() -> std::unique_ptr<Story> { return std::make_unique<Play>(); });
    const Explored explored = explorer.run(1'000'000);
    std::string order;
    for (const std::string& action : explored.order) (order += " > ") += action;
    INFO(order);
    CHECK(explored.violation == "");
    CHECK(explored.complete);
    MESSAGE(explored.orders << " orders");
}

TEST_CASE("the pauses of a breaker begin with 100 ms, double up to 2 s, and chance takes up to half of each away")
{
    Breaker breaker;
    for (const Milliseconds wanted : {100ms, 200ms, 400ms, 800ms, 1600ms, 2000ms, 2000ms, 2000ms}) {
        REQUIRE(breaker.attempt());
        breaker.fail({});
        Breaker same;
        for (Milliseconds pause = Breaker::first_pause; pause < wanted; pause = std::min(2 * pause, 2'000ms))
            same.pause(longest);
        CHECK(same.pause(shortest) == wanted / 2);
        CHECK(breaker.pause(longest) == wanted);
    }
}

TEST_CASE("a breaker is half open while an attempt is under way: it admits nothing yet")
{
    Breaker breaker;
    CHECK(breaker.state() == State::open);
    breaker.attempt();
    CHECK(breaker.state() == State::half_open);
    CHECK_FALSE(breaker.is_closed());
    breaker.succeed({});
    CHECK(breaker.state() == State::closed);
    breaker.fail({});
    CHECK(breaker.state() == State::open);
}

#include "proxy/housekeeping.hpp"

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"

namespace larder::proxy {

Housekeeping::Every::Every(asio::io_context& context, std::chrono::milliseconds period, std::function<void()> call)
    : timer_(context), period_(period), call_(std::move(call))
{
    again();
}

void Housekeeping::Every::again()
{
    call_();
    timer_.expires_after(period_);
    timer_.async_wait([this](error_code ec) {
        if (!ec) again();
    });
}

Housekeeping::Housekeeping(asio::io_context& context, const Parts& parts, std::function<void()> on_ready)
    : parts_(parts),
      on_ready_(std::move(on_ready)),
      ready_timer_(context),
      advising_(context, std::chrono::seconds(2), [this] { advise(); }),
      pacing_(context, std::chrono::seconds(10), [] { renew_log_pace(); }),
      ticking_(context, std::chrono::seconds(1), [this] { tick(); })
{
    await_ready();
}

// Said once, when it is true: people, scripts and the service manager wait for it.
void Housekeeping::await_ready()
{
    constexpr std::chrono::milliseconds between_looks{5};
    if (parts_.health.is_ready()) return on_ready_();
    ready_timer_.expires_after(between_looks);
    ready_timer_.async_wait([this](error_code ec) {
        if (!ec) await_ready();
    });
}

void Housekeeping::advise()
{
    for (const Advised& one : advice_.look(counters_of(parts_.workers), *parts_.live.now(), instant_now()))
        log_event(config::LogLevel::warn, one.event,
                  {{"rule", one.rule},
                   {"reason", one.reason},
                   {"because", one.text},
                   {"change", one.remedy},
                   {"requests", static_cast<std::int64_t>(one.requests)},
                   {"affected", static_cast<std::int64_t>(one.affected)}});
}

void Housekeeping::tick()
{
    parts_.health.tick();
    if (parts_.health.alive().passes()) parts_.manager.say_alive();
}

}  // namespace larder::proxy

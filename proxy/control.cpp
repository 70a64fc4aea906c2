#include "proxy/control.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace larder::proxy {

namespace {

/// Waits on the admin server's thread for what a worker's thread says, `patience` at most.
template <class Value>
class Answer {
  public:
    Answer(asio::io_context& context, std::chrono::milliseconds patience) : context_(context), timer_(context, patience)
    {
    }
    /// From any thread, once.
    static void give(const std::shared_ptr<Answer>& to, Value value)
    {
        asio::post(to->context_, [to, value = std::move(value)]() mutable {
            to->value_ = std::move(value);
            to->timer_.cancel();
        });
    }
    /// Empty: not in time.
    static asio::awaitable<std::optional<Value>> wait(std::shared_ptr<Answer> from)
    {
        if (!from->value_) co_await from->timer_.async_wait(no_throw);
        co_return std::move(from->value_);
    }

  private:
    asio::io_context& context_;
    asio::steady_timer timer_;
    std::optional<Value> value_;
};

}  // namespace

Control::Control(const Parts& parts) : parts_(parts)
{
    parts_.live.publish_to([this](const config::ConfigPtr& next) { publish(next, [] {}); });
}

void Control::apply_limits(const config::Limits& limits)
{
    // A request needs a descriptor for its client and may need one for the upstream; some are for everything else.
    const std::uint64_t open_files = parts_.open_files;
    const std::uint64_t most = open_files > 256 ? open_files - 128 : open_files / 2;
    parts_.connections.most = limits.connections != 0
                                  ? limits.connections
                                  : static_cast<std::uint32_t>(std::min<std::uint64_t>(most, UINT32_MAX));
    parts_.inflight.most = limits.inflight;
}

asio::awaitable<HandPurge> Control::purge(std::vector<rules::PurgeTarget> targets)
{
    // Twenty records at most, each of which ends by a deadline of the store.
    static constexpr std::chrono::seconds patience{5};
    HandPurge result;
    if (parts_.stopping) {
        result.kind = HandPurge::Kind::stopping;
        co_return result;
    }
    const auto answer = std::make_shared<Answer<Worker::HandPurged>>(parts_.context, patience);
    auto done = [answer](Worker::HandPurged purged) { answer->give(answer, std::move(purged)); };
    worker_with_store(parts_.workers).purge(std::move(targets), std::move(done));
    std::optional<Worker::HandPurged> purged = co_await Answer<Worker::HandPurged>::wait(answer);
    if (!purged) co_return result;
    result.error = purged->error;
    result.kind = result.error == rules::Errc::ok ? HandPurge::Kind::appended : HandPurge::Kind::deferred;
    result.positions = std::move(purged->positions);
    co_return result;
}

asio::awaitable<std::optional<Worker::StoreMemory>> Control::store_memory()
{
    if (parts_.store.kind != config::StoreKind::redis || parts_.stopping) co_return std::nullopt;
    const auto answer = std::make_shared<Answer<Worker::StoreMemory>>(parts_.context, parts_.store.timeout * 2);
    auto done = [answer](Worker::StoreMemory told) { answer->give(answer, told); };
    worker_with_store(parts_.workers).ask_store_memory(std::move(done));
    co_return co_await Answer<Worker::StoreMemory>::wait(answer);
}

/// Hands the configuration to the workers, and calls `done` on the admin server's thread when all of them serve by it.
void Control::publish(const config::ConfigPtr& next, std::function<void()> done)
{
    apply_limits(next->limits);
    const auto left = std::make_shared<std::atomic<std::size_t>>(parts_.workers.size());
    for (const auto& worker : parts_.workers)
        worker->use(next, [&context = parts_.context, left, done] {
            if (left->fetch_sub(1) == 1) asio::post(context, done);
        });
}

/// Waits until all workers serve by what `change` has `live` take; one that hangs does not hold it up for ever.
template <class Change>
asio::awaitable<LiveConfig::Outcome> Control::put_into_force(Change change)
{
    static constexpr std::chrono::seconds patience{5};
    const auto answer = std::make_shared<Answer<bool>>(parts_.context, patience);
    parts_.live.publish_to(
        [this, answer](const config::ConfigPtr& next) { publish(next, [answer] { answer->give(answer, true); }); });
    LiveConfig::Outcome outcome = change();
    parts_.live.publish_to([this](const config::ConfigPtr& next) { publish(next, [] {}); });
    if (outcome.ok) co_await Answer<bool>::wait(answer);
    co_return outcome;
}

asio::awaitable<ReloadTold> Control::reload()
{
    auto change = [this] { return parts_.live.reload("POST /-/reload"); };
    LiveConfig::Outcome outcome = co_await put_into_force(std::move(change));
    ReloadTold told;
    told.ok = outcome.ok;
    told.errors = std::move(outcome.errors);
    told.kept = std::move(outcome.kept);
    co_return told;
}

asio::awaitable<std::string> Control::switch_to(config::Switches switches)
{
    auto change = [this, &switches] { return parts_.live.switch_to(switches); };
    const LiveConfig::Outcome outcome = co_await put_into_force(std::move(change));
    std::string failed;
    for (const std::string& error : outcome.errors) (failed += failed.empty() ? "" : "\n") += error;
    if (!outcome.ok && failed.empty()) failed = "the configuration could not be made";
    co_return failed;
}

void Control::drain()
{
    parts_.draining = true;
    for (const auto& worker : parts_.workers) worker->announce_drain();
}

}  // namespace larder::proxy
